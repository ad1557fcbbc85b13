#include "network/lora_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/narrow_product.h"
#include "nn/kept_product.h"

namespace loraptor::network {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The arguments that autograd need not know.
struct Frozen {
  const nn::WeightStorage& weight;
  at::Tensor bias;
  at::Tensor mask;
  double scale;
  int64_t splits;
};

/// columns [splits*r,N] times mask, which broadcasts to [..,splits*r] with the leading sizes of x.
at::Tensor apply_mask(const at::Tensor& columns, const at::Tensor& mask, at::IntArrayRef leading) {
  if (!mask.defined()) return columns;
  auto shape = leading.vec();
  shape.push_back(columns.size(0));
  return columns.t().reshape(shape).mul(mask).view({columns.size(1), columns.size(0)}).t().contiguous();
}

/// Part i of `count` along a dimension.
at::Tensor part_of(const at::Tensor& t, int64_t dim, int64_t i, int64_t count) {
  if (count == 1) return t;
  const int64_t length = t.size(dim) / count;
  return t.narrow(dim, i * length, length);
}

at::Tensor joined(const std::vector<at::Tensor>& parts, int64_t dim) {
  return parts.size() == 1 ? parts.front() : at::cat(parts, dim);
}

/// The narrow products are computed as [r,N] (and [r,out]) rather than [N,r]: with few rows they are faster than with
/// few columns.
class LowRankLinear : public torch::autograd::Function<LowRankLinear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& down, const at::Tensor& up,
                            const Frozen& frozen) {
    const at::AutoDispatchBelowAutograd no_graph;
    const auto rows = x.reshape({-1, x.size(-1)});  // [..,in] -> [N,in]
    auto y = frozen.weight.product(rows, frozen.bias);
    const auto leading = x.sizes().slice(0, static_cast<size_t>(x.dim() - 1));
    const auto a = down.to(y.scalar_type()), b = up.to(y.scalar_type());
    const auto h = apply_mask(kernels::narrow_dots(a, rows), frozen.mask, leading);  // [splits*r,N]
    for (int64_t i = 0; i < frozen.splits; ++i) {
      kernels::add_narrow(part_of(y, 1, i, frozen.splits), part_of(h, 0, i, frozen.splits),
                          kernels::narrow_transposed(part_of(b, 0, i, frozen.splits)), frozen.scale);
    }
    context->save_for_backward({rows, h, down, up, frozen.mask});
    context->saved_data["product"] = nn::keep_product(frozen.weight);
    context->saved_data["scale"] = frozen.scale;
    context->saved_data["splits"] = frozen.splits;
    context->saved_data["leading"] = leading;
    auto shape = leading.vec();
    shape.push_back(y.size(1));
    return y.view(shape);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto &rows = saved[0], &h = saved[1], &down = saved[2], &up = saved[3], &mask = saved[4];
    const double scale = context->saved_data["scale"].toDouble();
    const int64_t splits = context->saved_data["splits"].toInt();
    const auto leading = context->saved_data["leading"].toIntVector();
    const at::AutoDispatchBelowAutograd no_graph;
    const auto g = grads[0].reshape({-1, grads[0].size(-1)});  // [..,out] -> [N,out]
    const bool wants_x = context->needs_input_grad(0), wants_down = context->needs_input_grad(1);
    const bool wants_up = context->needs_input_grad(2);
    const auto b = up.to(g.scalar_type());

    std::vector<at::Tensor> dh_parts, up_parts;  // [r,N], [r,out/splits]
    for (int64_t i = 0; i < splits; ++i) {
      const auto part = part_of(g, 1, i, splits);
      dh_parts.push_back(kernels::narrow_dots(kernels::narrow_transposed(part_of(b, 0, i, splits), scale), part));
      if (wants_up) up_parts.push_back(kernels::narrow_sums(part_of(h, 0, i, splits), part, scale));
    }
    const auto up_grad = wants_up ? joined(up_parts, 1).t().to(up.scalar_type()) : at::Tensor();
    const auto dh = apply_mask(joined(dh_parts, 0), mask, leading);  // [splits*r,N]
    const auto down_grad = wants_down ? kernels::narrow_sums(dh, rows).to(down.scalar_type()) : at::Tensor();

    at::Tensor x_grad;
    if (wants_x) {
      x_grad = nn::make_kept_product(context->saved_data["product"], g);
      kernels::add_narrow(x_grad, dh, down.to(g.scalar_type()), 1);
      auto shape = leading;
      shape.push_back(x_grad.size(1));
      x_grad = x_grad.view(shape);
    }
    return {x_grad, down_grad, up_grad, at::Tensor()};
  }
};

}  // namespace

at::Tensor low_rank_linear(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias,
                           const LowRankTerm& term) {
  return LowRankLinear::apply(x, term.down, term.up, Frozen{weight, bias, term.mask, term.scale, term.splits});
}

}  // namespace loraptor::network
