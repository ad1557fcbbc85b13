#include "kernels/layer_norm_modulate_cpu.h"

#include <cmath>

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

template <class Out>
LORAPTOR_INLINE void forward(const LayerNormRows& rows, const LayerNormForward& f, int64_t begin, int64_t end) {
  const int64_t width = rows.width;
  const float share = 1.0f / static_cast<float>(width);
  for (int64_t r = begin; r < end; ++r) {
    const float* x = rows.x + r * width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += x[i];
    const float mean = sum * share;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const float rstd = 1.0f / std::sqrt(squares * share + f.eps);
    f.mean[r] = mean;
    f.rstd[r] = rstd;
    const float* factor = rows.factor + r / rows.tokens * width;
    const float* shift = f.shift + r / rows.tokens * width;
    Out* out = static_cast<Out*>(f.out) + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) store(out + i, (x[i] - mean) * rstd * factor[i] + shift[i]);
  }
}

template <class In>
LORAPTOR_INLINE void backward(const LayerNormRows& rows, const LayerNormBackward& b, int64_t begin, int64_t end) {
  const int64_t width = rows.width;
  const float share = 1.0f / static_cast<float>(width);
  for (int64_t r = begin; r < end; ++r) {
    const float* x = rows.x + r * width;
    const In* g = static_cast<const In*>(b.gradient) + r * width;
    const float* factor = rows.factor + r / rows.tokens * width;
    const float mean = b.mean[r], rstd = b.rstd[r];
    if (b.dshift != nullptr) {
      float* dshift = b.dshift + r / rows.tokens * width;
      float* dscale = b.dscale + r / rows.tokens * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float gradient = load(g + i);
        dshift[i] += gradient;
        dscale[i] += gradient * ((x[i] - mean) * rstd);
      }
    }
    if (b.dx == nullptr) continue;
    float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < width; ++i) {
      const float scaled = load(g + i) * factor[i];
      sum += scaled;
      product += scaled * ((x[i] - mean) * rstd);
    }
    sum *= share;
    product *= share;
    float* dx = b.dx + r * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      dx[i] = rstd * (load(g + i) * factor[i] - sum - (x[i] - mean) * rstd * product);
    }
  }
}

// An attribute cannot be cloned on templates, so each element type has its own function.
LORAPTOR_CPU_CLONES void forward_float(const LayerNormRows& rows, const LayerNormForward& f, int64_t begin,
                                       int64_t end) {
  forward<float>(rows, f, begin, end);
}
LORAPTOR_CPU_CLONES void forward_bf16(const LayerNormRows& rows, const LayerNormForward& f, int64_t begin,
                                      int64_t end) {
  forward<Bf16>(rows, f, begin, end);
}
LORAPTOR_CPU_CLONES void backward_float(const LayerNormRows& rows, const LayerNormBackward& b, int64_t begin,
                                        int64_t end) {
  backward<float>(rows, b, begin, end);
}
LORAPTOR_CPU_CLONES void backward_bf16(const LayerNormRows& rows, const LayerNormBackward& b, int64_t begin,
                                       int64_t end) {
  backward<Bf16>(rows, b, begin, end);
}

}  // namespace

void layer_norm_modulate_forward(const LayerNormRows& rows, const LayerNormForward& f, int64_t begin, int64_t end) {
  rows.bf16 ? forward_bf16(rows, f, begin, end) : forward_float(rows, f, begin, end);
}

void layer_norm_modulate_backward(const LayerNormRows& rows, const LayerNormBackward& b, int64_t begin, int64_t end) {
  rows.bf16 ? backward_bf16(rows, b, begin, end) : backward_float(rows, b, begin, end);
}

}  // namespace loraptor::kernels::cpu
