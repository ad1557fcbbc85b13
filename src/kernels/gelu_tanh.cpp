#include "kernels/gelu_tanh.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_parts.h"
#include "kernels/gelu_tanh_cpu.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct GeluTanh : torch::autograd::Function<GeluTanh> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input) {
    const auto x = input.contiguous();
    auto y = at::empty_like(x);
    const bool bf16 = x.scalar_type() == at::kBFloat16;
    for_each_part(x.numel(), row_parts(x.numel(), 1), [&](int64_t, int64_t begin, int64_t end) {
      cpu::gelu_tanh_forward(x.const_data_ptr(), y.mutable_data_ptr(), bf16, begin, end);
    });
    ctx->save_for_backward({x});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto x = ctx->get_saved_variables()[0];
    const auto gradient = gradients[0].contiguous();
    auto dx = at::empty_like(x);
    const bool bf16 = x.scalar_type() == at::kBFloat16;
    for_each_part(x.numel(), row_parts(x.numel(), 1), [&](int64_t, int64_t begin, int64_t end) {
      cpu::gelu_tanh_backward(x.const_data_ptr(), gradient.const_data_ptr(), dx.mutable_data_ptr(), bf16, begin, end);
    });
    return {dx};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) { return has_cpu_kernel(x) ? GeluTanh::apply(x) : at::gelu(x, "tanh"); }

}  // namespace loraptor::kernels
