#include "kernels/gated_residual_cpu.h"

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

template <class Branch>
LORAPTOR_INLINE void forward(const GatedRows& rows, const float* residual, float* out, int64_t begin, int64_t end) {
  const int64_t width = rows.width;
  for (int64_t r = begin; r < end; ++r) {
    const float* gate = rows.gate + r / rows.tokens * width;
    const Branch* branch = static_cast<const Branch*>(rows.branch) + r * width;
    const float* from = residual + r * width;
    float* to = out + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) to[i] = from[i] + gate[i] * load(branch + i);
  }
}

template <class Branch>
LORAPTOR_INLINE void backward(const GatedRows& rows, const GatedBackward& b, int64_t begin, int64_t end) {
  const int64_t width = rows.width;
  for (int64_t r = begin; r < end; ++r) {
    const float* gate = rows.gate + r / rows.tokens * width;
    const float* gradient = b.gradient + r * width;
    if (b.dbranch != nullptr) {
      Branch* dbranch = static_cast<Branch*>(b.dbranch) + r * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) store(dbranch + i, gradient[i] * gate[i]);
    }
    if (b.dgate == nullptr) continue;
    float* dgate = b.dgate + r / rows.tokens * width;
    const Branch* branch = static_cast<const Branch*>(rows.branch) + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) dgate[i] += gradient[i] * load(branch + i);
  }
}

LORAPTOR_CPU_CLONES void forward_float(const GatedRows& rows, const float* residual, float* out, int64_t begin,
                                       int64_t end) {
  forward<float>(rows, residual, out, begin, end);
}
LORAPTOR_CPU_CLONES void forward_bf16(const GatedRows& rows, const float* residual, float* out, int64_t begin,
                                      int64_t end) {
  forward<Bf16>(rows, residual, out, begin, end);
}
LORAPTOR_CPU_CLONES void backward_float(const GatedRows& rows, const GatedBackward& b, int64_t begin, int64_t end) {
  backward<float>(rows, b, begin, end);
}
LORAPTOR_CPU_CLONES void backward_bf16(const GatedRows& rows, const GatedBackward& b, int64_t begin, int64_t end) {
  backward<Bf16>(rows, b, begin, end);
}

}  // namespace

void gated_residual_forward(const GatedRows& rows, const float* residual, float* out, int64_t begin, int64_t end) {
  rows.bf16 ? forward_bf16(rows, residual, out, begin, end) : forward_float(rows, residual, out, begin, end);
}

void gated_residual_backward(const GatedRows& rows, const GatedBackward& b, int64_t begin, int64_t end) {
  rows.bf16 ? backward_bf16(rows, b, begin, end) : backward_float(rows, b, begin, end);
}

}  // namespace loraptor::kernels::cpu
