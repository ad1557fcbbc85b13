// The same work for many items, on all CPUs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <thread>
#include <type_traits>
#include <vector>

namespace loraptor {

/// Calls work(0) .. work(count - 1) from as many threads as there are CPUs, each item once, in no certain order.
///   done   if given, is told how many items are done, by one thread at a time
/// Rethrows the first exception of `work`; items that were not begun are left out then.
void run_in_threads(int64_t count, const std::function<void(int64_t item)>& work,
                    const std::function<void(int64_t items)>& done = {});

/// Starts up to `count` threads that each call `work`; fewer, or none, where a limit on processes (ulimit -u) forbids
/// more. They are joined when the result goes.
std::vector<std::jthread> start_threads(int64_t count, const std::function<void()>& work);

/// Starts `work` in a thread of its own; where there can be no other thread it is done before this returns. Whoever
/// lets go of the result last waits for the end.
template <class Work>
std::future<std::invoke_result_t<Work>> in_background(Work work) {
  // With its own policy `async` makes a thread if it can.
  auto result = std::async(work);
  if (result.wait_for(std::chrono::seconds(0)) == std::future_status::deferred) result.wait();
  return result;
}

}  // namespace loraptor
