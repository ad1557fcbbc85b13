#include "network/lora_linear.h"

#include <torch/csrc/autograd/custom_function.h>

namespace loraptor::network {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Carries a function through the saved data of an autograd node.
struct FrozenProduct : torch::CustomClassHolder {
  explicit FrozenProduct(std::function<at::Tensor(const at::Tensor&)> call) : call(std::move(call)) {}
  std::function<at::Tensor(const at::Tensor&)> call;
};

/// The arguments that autograd need not know.
struct Frozen {
  const nn::WeightStorage& weight;
  at::Tensor bias;
  at::Tensor mask;
  double scale;
  int64_t splits;
};

/// rows [N,splits*r] times mask, which broadcasts to [..,splits*r] with the leading sizes of x.
at::Tensor apply_mask(const at::Tensor& rows, const at::Tensor& mask, at::IntArrayRef leading) {
  if (!mask.defined()) return rows;
  auto shape = leading.vec();
  shape.push_back(rows.size(1));
  return rows.view(shape).mul(mask).view(rows.sizes());
}

class LowRankLinear : public torch::autograd::Function<LowRankLinear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& down, const at::Tensor& up,
                            const Frozen& frozen) {
    const auto rows = x.reshape({-1, x.size(-1)});  // [..,in] -> [N,in]
    auto y = frozen.weight.product(rows, frozen.bias);
    const auto leading = x.sizes().slice(0, static_cast<size_t>(x.dim() - 1));
    const auto a = down.to(y.scalar_type()), b = up.to(y.scalar_type());
    const auto h = apply_mask(rows.mm(a.t()), frozen.mask, leading);
    const int64_t out = y.size(1) / frozen.splits, rank = h.size(1) / frozen.splits;
    for (int64_t i = 0; i < frozen.splits; ++i) {
      y.narrow(1, i * out, out)
          .addmm_(h.narrow(1, i * rank, rank), b.narrow(0, i * out, out).t(), /*beta=*/1, /*alpha=*/frozen.scale);
    }
    context->save_for_backward({rows, h, down, up, frozen.mask});
    context->saved_data["product"] =
        c10::IValue::make_capsule(c10::make_intrusive<FrozenProduct>(frozen.weight.input_gradient()));
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
    const auto g = grads[0].reshape({-1, grads[0].size(-1)});  // [..,out] -> [N,out]
    const bool wants_x = context->needs_input_grad(0), wants_down = context->needs_input_grad(1);
    const bool wants_up = context->needs_input_grad(2);
    const auto b = up.to(g.scalar_type()).mul(scale);
    const int64_t out = g.size(1) / splits, rank = h.size(1) / splits;

    auto dh = at::empty_like(h);
    auto up_grad = wants_up ? at::empty_like(b) : at::Tensor();
    for (int64_t i = 0; i < splits; ++i) {
      const auto part = g.narrow(1, i * out, out);
      auto dh_part = dh.narrow(1, i * rank, rank);
      at::mm_out(dh_part, part, b.narrow(0, i * out, out));
      if (!wants_up) continue;
      auto up_part = up_grad.narrow(0, i * out, out);
      at::mm_out(up_part, part.t(), h.narrow(1, i * rank, rank));
    }
    if (wants_up) up_grad = up_grad.mul_(scale).to(up.scalar_type());
    dh = apply_mask(dh, mask, leading);
    const auto down_grad = wants_down ? dh.t().mm(rows).to(down.scalar_type()) : at::Tensor();

    at::Tensor x_grad;
    if (wants_x) {
      const auto product = context->saved_data["product"].toCapsule();
      x_grad = static_cast<FrozenProduct&>(*product).call(g);
      x_grad.addmm_(dh, down.to(g.scalar_type()));
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
