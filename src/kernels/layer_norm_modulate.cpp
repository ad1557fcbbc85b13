#include "kernels/layer_norm_modulate.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "kernels/cpu_parts.h"
#include "kernels/layer_norm_modulate_cpu.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

cpu::LayerNormRows describe(const at::Tensor& x, const at::Tensor& factor, at::ScalarType dtype) {
  return {x.size(1), x.size(2), dtype == at::kBFloat16, x.const_data_ptr<float>(), factor.const_data_ptr<float>()};
}

struct LayerNormModulate : torch::autograd::Function<LayerNormModulate> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& shift,
                            const at::Tensor& scale, double eps, at::ScalarType dtype) {
    const auto x = input.contiguous();
    const auto factor = scale.to(at::kFloat).add(1).contiguous();
    const auto offset = shift.to(at::kFloat).contiguous();
    const int64_t rows = x.size(0) * x.size(1);
    auto mean = at::empty({rows}, x.options()), rstd = at::empty({rows}, x.options());
    auto out = at::empty(x.sizes(), x.options().dtype(dtype));
    const auto arrays = describe(x, factor, dtype);
    const cpu::LayerNormForward call{offset.const_data_ptr<float>(), static_cast<float>(eps),
                                     mean.mutable_data_ptr<float>(), rstd.mutable_data_ptr<float>(),
                                     out.mutable_data_ptr()};
    for_each_part(rows, row_parts(rows, x.size(2)), [&](int64_t, int64_t begin, int64_t end) {
      cpu::layer_norm_modulate_forward(arrays, call, begin, end);
    });
    ctx->save_for_backward({x, mean, rstd, factor});
    ctx->saved_data["shift_dtype"] = static_cast<int64_t>(shift.scalar_type());
    ctx->saved_data["scale_dtype"] = static_cast<int64_t>(scale.scalar_type());
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &factor = saved[3];
    const auto gradient = gradients[0].contiguous();
    const bool wants_x = ctx->needs_input_grad(0),
               wants_modulation = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    const int64_t rows = x.size(0) * x.size(1), parts = row_parts(rows, x.size(2));
    at::Tensor dx = wants_x ? at::empty_like(x) : at::Tensor();
    at::Tensor sums;  // [2,parts,B,D]
    if (wants_modulation) sums = at::zeros({2, parts, x.size(0), x.size(2)}, x.options());
    const auto arrays = describe(x, factor, gradient.scalar_type());
    for_each_part(rows, parts, [&](int64_t part, int64_t begin, int64_t end) {
      float* own = wants_modulation ? sums.mutable_data_ptr<float>() + part * factor.numel() : nullptr;
      const cpu::LayerNormBackward call{saved[1].const_data_ptr<float>(),
                                        saved[2].const_data_ptr<float>(),
                                        gradient.const_data_ptr(),
                                        wants_x ? dx.mutable_data_ptr<float>() : nullptr,
                                        own,
                                        own != nullptr ? own + parts * factor.numel() : nullptr};
      cpu::layer_norm_modulate_backward(arrays, call, begin, end);
    });
    variable_list result(5);
    result[0] = dx;
    if (wants_modulation) {
      const auto total = sums.sum(1);  // [2,parts,B,D] -> [2,B,D]
      result[1] = total[0].to(static_cast<at::ScalarType>(ctx->saved_data["shift_dtype"].toInt()));
      result[2] = total[1].to(static_cast<at::ScalarType>(ctx->saved_data["scale_dtype"].toInt()));
    }
    return result;
  }
};

}  // namespace

at::Tensor layer_norm_modulate_plain(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                                     at::ScalarType dtype) {
  const auto wide = x.scalar_type();
  const auto normed = at::layer_norm(x, {x.size(-1)}, {}, {}, eps);
  const auto factor = (scale.to(wide) + 1).unsqueeze(1);  // [B,D] -> [B,1,D]
  return (normed * factor + shift.to(wide).unsqueeze(1)).to(dtype);
}

at::Tensor layer_norm_modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                               at::ScalarType dtype) {
  LORAPTOR_ASSERT(x.dim() == 3 && shift.dim() == 2 && scale.dim() == 2);
  const bool has_kernel =
      x.device().is_cpu() && x.scalar_type() == at::kFloat && (dtype == at::kFloat || dtype == at::kBFloat16);
  if (!has_kernel) return layer_norm_modulate_plain(x, shift, scale, eps, dtype);
  return LayerNormModulate::apply(x, shift, scale, eps, dtype);
}

}  // namespace loraptor::kernels
