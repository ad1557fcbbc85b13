#include "base/parallel.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace loraptor {

void run_in_threads(int64_t count, const std::function<void(int64_t item)>& work,
                    const std::function<void(int64_t items)>& done) {
  std::mutex mutex;
  std::exception_ptr failure;
  int64_t next = 0, finished = 0;
  const auto run = [&] {
    std::unique_lock lock(mutex);
    while (next < count && failure == nullptr) {
      const int64_t item = next++;
      lock.unlock();
      std::exception_ptr problem;
      try {
        work(item);
      } catch (...) {  // must not leave a thread
        problem = std::current_exception();
      }
      lock.lock();
      ++finished;
      if (problem != nullptr && failure == nullptr) failure = problem;
      if (done) done(finished);
    }
  };
  const int64_t cpus = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < std::min(cpus, count); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  if (failure != nullptr) std::rethrow_exception(failure);
}

std::shared_future<void> in_background(const std::function<void()>& work) {
  try {
    return std::async(std::launch::async, work).share();
  } catch (const std::system_error&) {  // a limit on processes
    std::packaged_task<void()> task(work);
    task();
    return task.get_future().share();
  }
}

}  // namespace loraptor
