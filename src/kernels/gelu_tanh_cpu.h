// Raw loop of gelu_tanh.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// y[i] = gelu(x[i]) and, unless null, slope[i] = gelu'(x[i]) for begin <= i < end. Errors of a few units in the last
/// place, also where gelu is nearly zero.
void gelu_tanh(const float* x, float* y, float* slope, int64_t begin, int64_t end);

}  // namespace loraptor::kernels::cpu
