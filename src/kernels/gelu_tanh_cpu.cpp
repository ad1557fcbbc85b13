#include "kernels/gelu_tanh_cpu.h"

#include <cmath>

#include "kernels/cpu_exp.h"

namespace loraptor::kernels::cpu {
namespace {

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
