#include "nn/mlp.h"

namespace loraptor::nn {

at::Tensor GeluMlp::forward(const at::Tensor& x) const { return fc2.forward(at::gelu(fc1.forward(x), "tanh")); }

at::Tensor SiluMlp::forward(const at::Tensor& x) const { return second.forward(at::silu(first.forward(x))); }

}  // namespace loraptor::nn
