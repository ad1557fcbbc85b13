// The same work for many items, on all CPUs.
#pragma once

#include <cstdint>
#include <functional>
#include <future>

namespace loraptor {

/// Calls work(0) .. work(count - 1) from as many threads as there are CPUs, each item once, in no certain order.
///   done   if given, is told how many items are done, by one thread at a time
/// Rethrows the first exception of `work`; items that were not begun are left out then.
void run_in_threads(int64_t count, const std::function<void(int64_t item)>& work,
                    const std::function<void(int64_t items)>& done = {});

/// Starts `work` in a thread of its own; where there can be no other thread it is done before this returns. Whoever
/// lets go of the result last waits for the end.
std::shared_future<void> in_background(const std::function<void()>& work);

}  // namespace loraptor
