// The two-layer perceptrons of the transformer and of the conditioning embedders.
#pragma once

#include <ATen/ATen.h>

#include "nn/linear.h"

namespace loraptor::nn {

/// Linear, GELU (tanh approximation), Linear.
struct GeluMlp {
  Linear fc1, fc2;
  at::Tensor forward(const at::Tensor& x) const;
};

/// Linear, SiLU, Linear.
struct SiluMlp {
  Linear first, second;
  at::Tensor forward(const at::Tensor& x) const;
};

}  // namespace loraptor::nn
