#include "kernels/gelu_tanh.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_parts.h"
#include "kernels/gelu_tanh_cpu.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// x and what is returned are contiguous; `slope` may be undefined: not wanted.
at::Tensor gelu_values(const at::Tensor& x, const at::Tensor& slope) {
  auto y = at::empty_like(x);
  float* slopes = slope.defined() ? slope.mutable_data_ptr<float>() : nullptr;
  for_each_part(x.numel(), row_parts(x.numel(), 1), [&](int64_t, int64_t begin, int64_t end) {
    cpu::gelu_tanh(x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), slopes, begin, end);
  });
  return y;
}

struct GeluTanh : torch::autograd::Function<GeluTanh> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in) {
    const auto x = x_in.contiguous();
    const auto slope = at::empty_like(x);
    ctx->save_for_backward({slope});
    return gelu_values(x, slope);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    return {gradients[0] * ctx->get_saved_variables()[0]};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat) return at::gelu(x, "tanh");
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return gelu_values(x.contiguous(), {});
  return GeluTanh::apply(x);
}

}  // namespace loraptor::kernels
