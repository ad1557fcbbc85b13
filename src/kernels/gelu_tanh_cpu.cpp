#include "kernels/gelu_tanh_cpu.h"

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

constexpr float kInner = 0.7978845608f;  // sqrt(2/pi)
constexpr float kCubic = 0.044715f;

// exp(x) within 2 units of the last place, by range reduction to |r| <= ln(2)/2 and a polynomial, so that it vectorises
// without a mathematics library. Beyond +-87 it stays at the value there.
LORAPTOR_INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to an integer
  const float n = (x * 1.442695041f + kRound) - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// exp(-2u)
LORAPTOR_INLINE float decay(float x) { return exponential(-2.0f * kInner * (x + kCubic * x * x * x)); }

template <class T>
LORAPTOR_INLINE void forward(const T* x, T* y, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float v = load(x + i);
    store(y + i, v / (1.0f + decay(v)));
  }
}

template <class T>
LORAPTOR_INLINE void backward(const T* x, const T* gradient, T* dx, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float v = load(x + i), e = decay(v), s = 1.0f / (1.0f + e);  // 1 - s = e s, without cancellation
    const float slope = 2.0f * kInner * (1.0f + 3.0f * kCubic * v * v);
    store(dx + i, load(gradient + i) * (s + v * s * (e * s) * slope));
  }
}

LORAPTOR_CPU_CLONES void forward_float(const float* x, float* y, int64_t begin, int64_t end) {
  forward(x, y, begin, end);
}
LORAPTOR_CPU_CLONES void forward_bf16(const Bf16* x, Bf16* y, int64_t begin, int64_t end) { forward(x, y, begin, end); }
LORAPTOR_CPU_CLONES void backward_float(const float* x, const float* gradient, float* dx, int64_t begin, int64_t end) {
  backward(x, gradient, dx, begin, end);
}
LORAPTOR_CPU_CLONES void backward_bf16(const Bf16* x, const Bf16* gradient, Bf16* dx, int64_t begin, int64_t end) {
  backward(x, gradient, dx, begin, end);
}

}  // namespace

void gelu_tanh_forward(const void* x, void* y, bool bf16, int64_t begin, int64_t end) {
  if (bf16) {
    forward_bf16(static_cast<const Bf16*>(x), static_cast<Bf16*>(y), begin, end);
  } else {
    forward_float(static_cast<const float*>(x), static_cast<float*>(y), begin, end);
  }
}

void gelu_tanh_backward(const void* x, const void* gradient, void* dx, bool bf16, int64_t begin, int64_t end) {
  if (bf16) {
    backward_bf16(static_cast<const Bf16*>(x), static_cast<const Bf16*>(gradient), static_cast<Bf16*>(dx), begin, end);
  } else {
    backward_float(static_cast<const float*>(x), static_cast<const float*>(gradient), static_cast<float*>(dx), begin,
                   end);
  }
}

}  // namespace loraptor::kernels::cpu
