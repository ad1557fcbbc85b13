// The GELU of the transformer's perceptrons.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// GELU in its tanh approximation, element by element, in the dtype of x. Differentiable.
/// Its slope is computed together with the value and kept instead of x: one exponential an element for both passes.
/// Ref: arXiv:1606.08415 §2; torch.nn.functional.gelu(approximate="tanh").
at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace loraptor::kernels
