// Raw loops of gelu_tanh.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// y[i] = gelu(x[i]) for i in [begin,end). Elements are bfloat16 if `bf16`, else float32.
void gelu_tanh_forward(const void* x, void* y, bool bf16, int64_t begin, int64_t end);

/// dx[i] = gradient[i] * gelu'(x[i]).
void gelu_tanh_backward(const void* x, const void* gradient, void* dx, bool bf16, int64_t begin, int64_t end);

}  // namespace loraptor::kernels::cpu
