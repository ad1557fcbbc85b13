#include "kernels/gated_residual.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "kernels/cpu_parts.h"
#include "kernels/gated_residual_cpu.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

cpu::GatedRows describe(const at::Tensor& gate, const at::Tensor& branch) {
  return {branch.size(1), branch.size(2), branch.scalar_type() == at::kBFloat16, gate.const_data_ptr<float>(),
          branch.const_data_ptr()};
}

struct GatedResidual : torch::autograd::Function<GatedResidual> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& residual_in, const at::Tensor& gate_in,
                            const at::Tensor& branch_in) {
    const auto residual = residual_in.contiguous(), branch = branch_in.contiguous();
    const auto gate = gate_in.to(at::kFloat).contiguous();
    auto out = at::empty_like(residual);
    const int64_t rows = residual.size(0) * residual.size(1);
    const auto arrays = describe(gate, branch);
    for_each_part(rows, row_parts(rows, residual.size(2)), [&](int64_t, int64_t begin, int64_t end) {
      cpu::gated_residual_forward(arrays, residual.const_data_ptr<float>(), out.mutable_data_ptr<float>(), begin, end);
    });
    // Without a gradient of the gate the branch is not needed again.
    ctx->save_for_backward({gate, gate_in.requires_grad() ? branch : at::Tensor()});
    ctx->saved_data["gate_dtype"] = static_cast<int64_t>(gate_in.scalar_type());
    ctx->saved_data["branch_dtype"] = static_cast<int64_t>(branch.scalar_type());
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto gradient = gradients[0].contiguous();
    const bool wants_gate = ctx->needs_input_grad(1), wants_branch = ctx->needs_input_grad(2);
    variable_list result{gradients[0], at::Tensor(), at::Tensor()};
    if (!wants_gate && !wants_branch) return result;
    const int64_t rows = gradient.size(0) * gradient.size(1), parts = row_parts(rows, gradient.size(2));
    const auto branch_dtype = static_cast<at::ScalarType>(ctx->saved_data["branch_dtype"].toInt());
    const cpu::GatedRows arrays{gradient.size(1), gradient.size(2), branch_dtype == at::kBFloat16,
                                saved[0].const_data_ptr<float>(), wants_gate ? saved[1].const_data_ptr() : nullptr};
    if (wants_branch) result[2] = at::empty(gradient.sizes(), gradient.options().dtype(branch_dtype));
    at::Tensor sums;
    if (wants_gate) sums = at::zeros({parts, gradient.size(0), gradient.size(2)}, gradient.options());
    for_each_part(rows, parts, [&](int64_t part, int64_t begin, int64_t end) {
      const cpu::GatedBackward call{gradient.const_data_ptr<float>(),
                                    wants_branch ? result[2].mutable_data_ptr() : nullptr,
                                    wants_gate ? sums.mutable_data_ptr<float>() + part * saved[0].numel() : nullptr};
      cpu::gated_residual_backward(arrays, call, begin, end);
    });
    // [parts,B,D] -> [B,D]
    if (wants_gate) result[1] = sums.sum(0).to(static_cast<at::ScalarType>(ctx->saved_data["gate_dtype"].toInt()));
    return result;
  }
};

}  // namespace

at::Tensor gated_residual_plain(const at::Tensor& residual, const at::Tensor& gate, const at::Tensor& branch) {
  const auto wide = residual.scalar_type();
  return at::addcmul(residual, gate.to(wide).unsqueeze(1), branch.to(wide));  // gate [B,D] -> [B,1,D]
}

at::Tensor gated_residual(const at::Tensor& residual, const at::Tensor& gate, const at::Tensor& branch) {
  LORAPTOR_ASSERT(residual.dim() == 3 && gate.dim() == 2 && branch.sizes() == residual.sizes());
  if (residual.scalar_type() != at::kFloat || !has_cpu_kernel(branch)) {
    return gated_residual_plain(residual, gate, branch);
  }
  return GatedResidual::apply(residual, gate, branch);
}

}  // namespace loraptor::kernels
