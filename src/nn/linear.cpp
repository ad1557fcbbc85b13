#include "nn/linear.h"

#include "base/error.h"

namespace loraptor::nn {

Linear::Linear(at::Tensor weight, at::Tensor bias) : bias_(std::move(bias)) {
  LORAPTOR_ASSERT(weight.dim() == 2 || weight.dim() == 4);
  if (weight.dim() == 4) {
    kernel_shape_ = weight.sizes().slice(1).vec();
    weight = weight.flatten(1);  // [out,C,kh,kw] -> [out,C*kh*kw]
  }
  weight_ = plain_weight(std::move(weight));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  const auto input = x.to(weight_->compute_dtype());
  return adapter_ ? adapter_->forward(input, *weight_, bias_) : at::linear(input, weight_->read(), bias_);
}

}  // namespace loraptor::nn
