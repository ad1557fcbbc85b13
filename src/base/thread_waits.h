// How OpenMP's threads wait for each other while other programs use the processor too.
#pragma once

#include <thread>

namespace loraptor {

/// Between two parallel regions OpenMP's threads spin for milliseconds, which is fastest on an idle machine. Where the
/// machine is crowded, they spin on the very CPU that the thread they wait for should get, and a training step takes
/// several times as long. This watches, from a thread of its own, how long the calling thread waits for a CPU, and lets
/// the threads of OpenMP sleep instead of spin while that is a large share of its time. Results do not change.
/// Does nothing where the kernel keeps no such account, or where OMP_WAIT_POLICY or GOMP_SPINCOUNT is set.
class ThreadWaits {
 public:
  ThreadWaits();

 private:
  std::jthread watcher_;
};

/// While it lives, the threads of all OpenMP teams sleep soon instead of spinning. Throws std::system_error where there
/// can be no more threads.
class SleepingThreads {
 public:
  SleepingThreads();

 private:
  std::jthread owner_;
};

}  // namespace loraptor
