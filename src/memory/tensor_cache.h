// Memory of large CPU tensors is kept for the next ones instead of going back to the system.
#pragma once

#include <cstdint>

namespace loraptor::memory {

/// Replaces ATen's CPU allocator for the rest of the process. Every step of a training run needs the same sizes again;
/// fresh pages from the system, which the kernel clears one by one, would cost a tenth of the step. Large blocks ask
/// for huge pages. Memory held beyond living tensors stays below a quarter of their peak. Call once, early in main.
void keep_tensor_memory();

struct TensorCacheStats {
  int64_t live_bytes = 0;    // of living large tensors
  int64_t cached_bytes = 0;  // kept for later ones
  int64_t peak_bytes = 0;    // largest live_bytes so far
};

/// All zero before keep_tensor_memory().
TensorCacheStats tensor_cache_stats();

/// Gives everything that is cached back to the system.
void drop_tensor_cache();

}  // namespace loraptor::memory
