#include "optim/muon.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct MuonSettings {
  double weight_decay, momentum, eps, adamw_beta1, adamw_beta2, adamw_eps;
  bool nesterov, match_rms;
  std::array<double, 3> coefficients;
  int64_t iterations;
};

/// [rows,columns] of a matrix or a flattened kernel.
std::pair<int64_t, int64_t> matrix_shape(const at::Tensor& value) {
  if (value.dim() < 2) return {1, value.numel()};
  return {value.size(0), value.numel() / value.size(0)};
}

bool is_matrix(const Parameter& parameter) {
  const auto [rows, columns] = matrix_shape(parameter.value);
  return rows > 1 && columns > 1;
}

class Muon : public StatefulOptimizer {
 public:
  Muon(std::vector<ParamGroup>& groups, std::string description, const MuonSettings& settings)
      : StatefulOptimizer(groups, std::move(description)), s_(settings) {
    add_scalar("step", 0);
    for (const auto& group : groups) {
      for (const auto& parameter : group.parameters) add_states(parameter);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    ++scalar("step");
    for (size_t g = 0; g < groups_.size(); ++g) {
      const auto& group = groups_[g];
      for (const auto& parameter : group.parameters) {
        auto p = part(group.flat, group, parameter);
        const auto gradient = part(group.flat_grad, group, parameter);
        p.mul_(1 - lrs[g] * s_.weight_decay);
        is_matrix(parameter) ? step_matrix(parameter, p, gradient, lrs[g]) : step_adamw(parameter, p, gradient, lrs[g]);
      }
    }
  }

 private:
  void add_states(const Parameter& parameter) {
    const auto zeros = at::zeros(parameter.value.sizes(), parameter.value.options().dtype(at::kFloat));
    if (is_matrix(parameter)) {
      add_tensor(parameter.name, "momentum_buffer", zeros);
      return;
    }
    add_tensor(parameter.name, "exp_avg", zeros);
    add_tensor(parameter.name, "exp_avg_sq", zeros.clone());
  }

  void step_matrix(const Parameter& parameter, at::Tensor& p, const at::Tensor& gradient, double lr) {
    auto& m = tensor(parameter.name, "momentum_buffer");
    m.lerp_(gradient, 1 - s_.momentum);
    const auto update = s_.nesterov ? gradient.lerp(m, s_.momentum) : m;
    const auto [rows, columns] = matrix_shape(p);
    const auto direction = orthogonalized(update.reshape({rows, columns}), s_.coefficients, s_.iterations, s_.eps);
    p.sub_(direction.view(p.sizes()), lr * rate_factor(static_cast<double>(rows), static_cast<double>(columns)));
  }

  double rate_factor(double rows, double columns) const {
    return s_.match_rms ? 0.2 * std::sqrt(std::max(rows, columns)) : std::sqrt(std::max(1.0, rows / columns));
  }

  void step_adamw(const Parameter& parameter, at::Tensor& p, const at::Tensor& gradient, double lr) {
    auto& m = tensor(parameter.name, "exp_avg");
    auto& v = tensor(parameter.name, "exp_avg_sq");
    m.lerp_(gradient, 1 - s_.adamw_beta1);
    v.mul_(s_.adamw_beta2).addcmul_(gradient, gradient, 1 - s_.adamw_beta2);
    const double t = scalar("step");
    const double b1 = 1 - std::pow(s_.adamw_beta1, t), b2 = 1 - std::pow(s_.adamw_beta2, t);
    p.addcdiv_(m, (v / b2).sqrt_().add_(s_.adamw_eps), -lr / b1);
  }

  MuonSettings s_;
};

bool matches_rms(KeywordArgs& args) {
  if (!args.has("adjust_lr_fn")) return false;
  const std::string name = args.text("adjust_lr_fn", "original");
  if (name != "original" && name != "match_rms_adamw") {
    throw UsageError(fmt::format(
        "[--optimizer_args] adjust_lr_fn: got '{}', expected 'original' or 'match_rms_adamw', in quotes.", name));
  }
  return name == "match_rms_adamw";
}

}  // namespace

at::Tensor orthogonalized(const at::Tensor& matrix, const std::array<double, 3>& coefficients, int64_t steps,
                          double eps) {
  const auto& [a, b, c] = coefficients;
  const bool is_tall = matrix.size(0) > matrix.size(1);  // the product with the transpose is made on the short side
  auto x = is_tall ? matrix.t() : matrix;
  x = x / std::max(eps, at::linalg_vector_norm(x, 2).item<double>());
  for (int64_t i = 0; i < steps; ++i) {
    const auto gram = x.mm(x.t());
    x = at::addmm(x, at::addmm(gram, gram, gram, b, c), x, a, 1);
  }
  return (is_tall ? x.t() : x).contiguous();
}

std::unique_ptr<Optimizer> make_muon(OptimizerRequest& request) {
  auto& args = request.args;
  MuonSettings s{};
  s.weight_decay = args.number("weight_decay", 0.1);
  s.momentum = args.number("momentum", 0.95);
  s.nesterov = args.flag("nesterov", true);
  const auto coefficients = args.numbers("ns_coefficients", {3.4445, -4.7750, 2.0315});
  std::copy(coefficients.begin(), coefficients.end(), s.coefficients.begin());
  s.eps = args.number("eps", 1e-7);
  s.iterations = args.integer("ns_steps", 5);
  s.match_rms = matches_rms(args);
  const auto betas = args.numbers("adamw_betas", {0.9, 0.95});
  s.adamw_beta1 = betas[0];
  s.adamw_beta2 = betas[1];
  s.adamw_eps = args.number("adamw_eps", 1e-10);
  return std::make_unique<Muon>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
