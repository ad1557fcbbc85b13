// The exponential function for loops.
#pragma once

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {

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

}  // namespace loraptor::kernels::cpu
