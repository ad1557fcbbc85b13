// The tanh approximation of GELU.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// `x / (1 + exp(-2u))` with `u = sqrt(2/pi) (x + 0.044715 x^3)`, which equals `x/2 (1 + tanh u)`; in float32 for
/// narrower x. Differentiable.
/// Ref: arXiv:1606.08415 §2.
at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace loraptor::kernels
