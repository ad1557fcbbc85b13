#include "base/parallel.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>

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
  {
    const auto others = start_threads(std::min(cpus, count) - 1, run);
    run();
  }
  if (failure != nullptr) std::rethrow_exception(failure);
}

std::vector<std::jthread> start_threads(int64_t count, const std::function<void()>& work) {
  std::vector<std::jthread> threads;
  try {
    while (static_cast<int64_t>(threads.size()) < count) threads.emplace_back(work);
  } catch (const std::system_error&) {  // those that there are do it
  }
  return threads;
}

}  // namespace loraptor
