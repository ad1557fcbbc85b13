#include "kernels/split_heads_cpu.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

template <class T>
LORAPTOR_INLINE float inverse_rms(const T* x, int64_t size, float eps) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < size; ++i) squares += load(x + i) * load(x + i);
  return 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
}

template <class T>
LORAPTOR_INLINE void forward(const HeadRows& rows, const HeadArray (&qkv)[3], int64_t begin, int64_t end) {
  const int64_t size = rows.size, width = rows.heads * size;
  const float* const norms[3] = {rows.q_norm, rows.k_norm, nullptr};
  for (int64_t r = begin; r < end; ++r) {
    const int64_t sample = r / rows.tokens;
    for (int part = rows.first_query < 0 ? 1 : 0; part < 3; ++part) {
      const int64_t token = (part == 0 ? rows.first_query : rows.first) + r % rows.tokens;
      const T* from = static_cast<const T*>(rows.qkv) + r * 3 * width + part * width;
      const HeadArray& array = qkv[part];
      T* to = static_cast<T*>(array.data) + sample * array.batch_stride + token * array.token_stride;
      const float* norm = norms[part];
      for (int64_t h = 0; h < rows.heads; ++h, from += size, to += array.head_stride) {
        if (norm == nullptr) {
#pragma omp simd
          for (int64_t i = 0; i < size; ++i) to[i] = from[i];
          continue;
        }
        const float scale = inverse_rms(from, size, rows.eps);
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) store(to + i, load(from + i) * scale * norm[i]);
      }
    }
  }
}

// y = x s w with s = rsqrt(mean(x^2) + eps), so dx = s (g w - x s^2 mean(g w x)).
template <class T>
LORAPTOR_INLINE void norm_backward(const T* x, const T* g, const float* norm, T* dx, const HeadRows& rows) {
  const int64_t size = rows.size;
  const float scale = inverse_rms(x, size, rows.eps);
  float product = 0;
#pragma omp simd reduction(+ : product)
  for (int64_t i = 0; i < size; ++i) product += load(g + i) * norm[i] * load(x + i);
  const float along = product / static_cast<float>(size) * scale * scale;
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) store(dx + i, scale * (load(g + i) * norm[i] - load(x + i) * along));
}

template <class T>
LORAPTOR_INLINE void backward(const HeadRows& rows, const HeadArray (&gradients)[3], T* dqkv, int64_t begin,
                              int64_t end) {
  const int64_t size = rows.size, width = rows.heads * size;
  const float* const norms[3] = {rows.q_norm, rows.k_norm, nullptr};
  for (int64_t r = begin; r < end; ++r) {
    const int64_t sample = r / rows.tokens;
    for (int part = 0; part < 3; ++part) {
      const int64_t token = (part == 0 ? rows.first_query : rows.first) + r % rows.tokens;
      const int64_t place = r * 3 * width + part * width;
      if (part == 0 && rows.first_query < 0) {
        std::memset(static_cast<void*>(dqkv + place), 0, static_cast<size_t>(width) * sizeof(T));
        continue;
      }
      const T* x = static_cast<const T*>(rows.qkv) + place;
      const HeadArray& array = gradients[part];
      const T* g = static_cast<const T*>(array.data) + sample * array.batch_stride + token * array.token_stride;
      T* dx = dqkv + place;
      const float* norm = norms[part];
      for (int64_t h = 0; h < rows.heads; ++h, x += size, dx += size, g += array.head_stride) {
        if (norm != nullptr) {
          norm_backward(x, g, norm, dx, rows);
          continue;
        }
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) dx[i] = g[i];
      }
    }
  }
}

LORAPTOR_CPU_CLONES void forward_float(const HeadRows& rows, const HeadArray (&qkv)[3], int64_t begin, int64_t end) {
  forward<float>(rows, qkv, begin, end);
}
LORAPTOR_CPU_CLONES void forward_bf16(const HeadRows& rows, const HeadArray (&qkv)[3], int64_t begin, int64_t end) {
  forward<Bf16>(rows, qkv, begin, end);
}
LORAPTOR_CPU_CLONES void backward_float(const HeadRows& rows, const HeadArray (&gradients)[3], void* dqkv,
                                        int64_t begin, int64_t end) {
  backward<float>(rows, gradients, static_cast<float*>(dqkv), begin, end);
}
LORAPTOR_CPU_CLONES void backward_bf16(const HeadRows& rows, const HeadArray (&gradients)[3], void* dqkv, int64_t begin,
                                       int64_t end) {
  backward<Bf16>(rows, gradients, static_cast<Bf16*>(dqkv), begin, end);
}

}  // namespace

void split_heads_forward(const HeadRows& rows, const HeadArray (&qkv)[3], int64_t begin, int64_t end) {
  rows.bf16 ? forward_bf16(rows, qkv, begin, end) : forward_float(rows, qkv, begin, end);
}

void split_heads_backward(const HeadRows& rows, const HeadArray (&gradients)[3], void* dqkv, int64_t begin,
                          int64_t end) {
  rows.bf16 ? backward_bf16(rows, gradients, dqkv, begin, end) : backward_float(rows, gradients, dqkv, begin, end);
}

}  // namespace loraptor::kernels::cpu
