#include "optim/came.h"

#include <algorithm>

#include "optim/factored_moment.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct CameSettings {
  double beta1, beta2, beta3, eps_square, eps_residual, clip_threshold, weight_decay;
};

class Came : public StatefulOptimizer {
 public:
  Came(std::vector<ParamGroup>& groups, std::string description, const CameSettings& settings)
      : StatefulOptimizer(groups, std::move(description)), s_(settings) {
    add_buffer("exp_avg");
    for (const auto& group : groups) {
      for (const auto& parameter : group.parameters) add_moments(parameter);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const auto& parameter : groups_[g].parameters) step_parameter(g, parameter, lrs[g]);
    }
  }

 private:
  void add_moments(const Parameter& parameter) {
    const auto& value = parameter.value;
    const auto options = at::TensorOptions(value.device()).dtype(at::kFloat);
    if (value.dim() < 2) {
      add_tensor(parameter.name, "exp_avg_sq", at::zeros(value.sizes(), options));
      return;
    }
    for (const std::string key : {"exp_avg_sq", "exp_avg_res"}) {
      add_tensor(parameter.name, key + "_row", at::zeros(row_means_shape(value.sizes()), options));
      add_tensor(parameter.name, key + "_col", at::zeros(column_means_shape(value.sizes()), options));
    }
  }

  /// Takes `square` into the factored moment `key` and returns 1 / sqrt of it.
  at::Tensor moment_root(const Parameter& parameter, const std::string& key, const at::Tensor& square, double keep) {
    auto& rows = tensor(parameter.name, key + "_row");
    auto& columns = tensor(parameter.name, key + "_col");
    update_means(rows, columns, square, keep);
    return inverse_root(rows, columns);
  }

  at::Tensor normalized(const Parameter& parameter, const at::Tensor& g) {
    const auto square = g.square().add_(s_.eps_square);
    if (g.dim() >= 2) return moment_root(parameter, "exp_avg_sq", square, s_.beta2).mul_(g);
    auto& v = tensor(parameter.name, "exp_avg_sq");
    v.mul_(s_.beta2).add_(square, 1 - s_.beta2);
    return v.rsqrt().mul_(g);
  }

  void step_parameter(size_t g, const Parameter& parameter, double lr) {
    const auto& group = groups_[g];
    auto p = part(group.flat, group, parameter);
    auto m = part(buffer(g, "exp_avg"), group, parameter);
    auto update = normalized(parameter, part(group.flat_grad, group, parameter));
    update.div_(std::max(1.0, rms(update) / s_.clip_threshold));
    m.mul_(s_.beta1).add_(update, 1 - s_.beta1);
    if (s_.weight_decay != 0) p.mul_(1 - s_.weight_decay * lr);
    if (p.dim() < 2) {
      p.sub_(m, lr);
      return;
    }
    const auto residual = (update - m).square_().add_(s_.eps_residual);
    p.sub_(moment_root(parameter, "exp_avg_res", residual, s_.beta3).mul_(m), lr);
  }

  CameSettings s_;
};

}  // namespace

std::unique_ptr<Optimizer> make_came(OptimizerRequest& request) {
  auto& args = request.args;
  const auto betas = args.numbers("betas", {0.9, 0.999, 0.9999});
  CameSettings s{};
  s.beta1 = betas[0];
  s.beta2 = betas[1];
  s.beta3 = betas[2];
  s.eps_square = args.number("eps1", 1e-30);
  s.eps_residual = args.number("eps2", 1e-16);
  s.clip_threshold = args.number("clip_threshold", 1.0);
  s.weight_decay = args.number("weight_decay", 0);
  return std::make_unique<Came>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
