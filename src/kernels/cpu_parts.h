// How the kernels split rows among threads: a fixed partition, so that sums repeat for a fixed number of threads.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace loraptor::kernels {

/// Number of parts for `rows` rows of `width` elements: one per thread, fewer for little work.
inline int64_t row_parts(int64_t rows, int64_t width) {
  constexpr int64_t kElementsWorthAThread = 16384;
  const int64_t worth = std::max<int64_t>(1, rows * width / kElementsWorthAThread);
  return std::min<int64_t>({at::get_num_threads(), rows, worth});
}

/// Calls work(part, begin, end) for each part, in parallel.
template <class Work>
void for_each_part(int64_t rows, int64_t parts, const Work& work) {
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) work(part, part * rows / parts, (part + 1) * rows / parts);
  });
}

/// Whether the CPU kernels take this dtype for activations.
inline bool has_cpu_kernel(const at::Tensor& t) {
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16);
}

}  // namespace loraptor::kernels
