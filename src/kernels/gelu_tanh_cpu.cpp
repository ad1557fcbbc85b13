#include "kernels/gelu_tanh_cpu.h"

#include <cmath>

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

/// exp(-t) for t >= 0 as 2^n * exp(r), |r| <= ln(2)/2, with the Taylor polynomial of degree 7; 0 for t > 87. Plain
/// arithmetic, so that a loop over it becomes vector code, which a call of the library's exp would prevent.
LORAPTOR_INLINE float exp_of_minus(float t) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which is in the low bits then
  const float x = t < 87.0f ? -t : -87.0f;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) << 23;
  const float power = std::bit_cast<float>(std::bit_cast<uint32_t>(p) + exponent);
  return t < 87.0f ? power : 0.0f;
}

// gelu(x) = x * s(2u) with the logistic function s, as (1 + tanh(u)) / 2 = s(2u); 2u = kScale * (x + kCube * x^3).
constexpr float kScale = 1.5957691216f, kCube = 0.044715f;  // 2 * sqrt(2 / pi)

LORAPTOR_INLINE float twice_u(float x) { return kScale * x * (1.0f + kCube * x * x); }

LORAPTOR_CPU_CLONES void values(const float* x, float* y, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float t = twice_u(x[i]), e = exp_of_minus(std::fabs(t));
    const float part = 1.0f / (1.0f + e);
    y[i] = x[i] * ((t < 0 ? e : 1.0f) * part);
  }
}

LORAPTOR_CPU_CLONES void values_and_slopes(const float* x, float* y, float* slope, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float t = twice_u(x[i]), e = exp_of_minus(std::fabs(t)), part = 1.0f / (1.0f + e);
    const float s = (t < 0 ? e : 1.0f) * part;
    const float steepness = kScale * (1.0f + 3.0f * kCube * x[i] * x[i]);  // d(2u)/dx
    y[i] = x[i] * s;
    // s' = s (1 - s) = e / (1 + e)^2 on both sides of zero; far out it makes x zero before x^3 would overflow.
    slope[i] = s + x[i] * (e * part * part) * steepness;
  }
}

}  // namespace

void gelu_tanh(const float* x, float* y, float* slope, int64_t begin, int64_t end) {
  slope != nullptr ? values_and_slopes(x, y, slope, begin, end) : values(x, y, begin, end);
}

}  // namespace loraptor::kernels::cpu
