#include "nn/mlp.h"

#include "kernels/gelu_tanh.h"

namespace loraptor::nn {

at::Tensor GeluMlp::forward(const at::Tensor& x) const { return fc2.forward(kernels::gelu_tanh(fc1.forward(x))); }

at::Tensor SiluMlp::forward(const at::Tensor& x) const { return second.forward(at::silu(first.forward(x))); }

}  // namespace loraptor::nn
