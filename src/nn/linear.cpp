#include "nn/linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "nn/kept_product.h"

namespace loraptor::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x W^T + bias whose graph holds the stored form of the weight, not a converted one.
struct FrozenLinear : torch::autograd::Function<FrozenLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const WeightStorage* weight,
                            const at::Tensor* bias) {
    ctx->saved_data["product"] = keep_product(*weight);
    auto shape = x.sizes().vec();
    shape.back() = weight->sizes()[0];
    return weight->product(x.reshape({-1, x.size(-1)}), *bias).view(shape);  // [..,in] -> [N,in] -> [..,out]
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto& g = gradients[0];
    const auto dx = make_kept_product(ctx->saved_data["product"], g.reshape({-1, g.size(-1)}));
    auto shape = g.sizes().vec();
    shape.back() = dx.size(1);
    return {dx.view(shape), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor frozen_linear(const at::Tensor& x, const WeightStorage& weight, const at::Tensor& bias) {
  // On the CPU the same numbers wherever the weight is: WeightStorage::product makes them all.
  if (weight.is_at_hand() && !x.device().is_cpu()) return at::linear(x, weight.read(), bias);
  // By pointer: autograd takes no undefined tensor as an argument, and a layer may have no bias.
  return FrozenLinear::apply(x, &weight, &bias);
}

Linear::Linear(at::Tensor weight, at::Tensor bias) : bias_(std::move(bias)) {
  LORAPTOR_ASSERT(weight.dim() == 2 || weight.dim() == 4);
  if (weight.dim() == 4) {
    kernel_shape_ = weight.sizes().slice(1).vec();
    weight = weight.flatten(1);  // [out,C,kh,kw] -> [out,C*kh*kw]
  }
  const auto compute = fast_compute_dtype(weight);
  if (bias_.defined()) bias_ = bias_.to(compute);
  weight_ =
      compute == weight.scalar_type() ? plain_weight(std::move(weight)) : converted_weight(std::move(weight), compute);
}

void Linear::move_to(at::Device device, at::ScalarType compute, WeightSource source) {
  weight_ = weight_->placed(device, compute, std::move(source));
  if (bias_.defined()) bias_ = bias_.to(device, compute);
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  const auto input = x.to(weight_->compute_dtype());
  return adapter_ ? adapter_->forward(input, *weight_, bias_) : frozen_linear(input, *weight_, bias_);
}

}  // namespace loraptor::nn
