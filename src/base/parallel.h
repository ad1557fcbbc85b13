// The same work for many items, on all CPUs.
#pragma once

#include <cstdint>
#include <functional>

namespace loraptor {

/// Calls work(0) .. work(count - 1) from as many threads as there are CPUs, each item once, in no certain order.
///   done   if given, is told how many items are done, by one thread at a time
/// Rethrows the first exception of `work`; items that were not begun are left out then.
void run_in_threads(int64_t count, const std::function<void(int64_t item)>& work,
                    const std::function<void(int64_t items)>& done = {});

}  // namespace loraptor
