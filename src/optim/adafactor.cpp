// Adafactor.
#include "optim/adafactor.h"

#include <cmath>

#include "base/log.h"
#include "optim/factored_moment.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct AdafactorSettings {
  double eps_square, eps_scale, clip_threshold, decay_rate, weight_decay;
  std::optional<double> beta1;
  bool scale_parameter, relative_step, warmup_init;
};

class Adafactor : public StatefulOptimizer {
 public:
  Adafactor(std::vector<ParamGroup>& groups, std::string description, const AdafactorSettings& settings)
      : StatefulOptimizer(groups, std::move(description)), s_(settings) {
    add_scalar("step", 0);
    if (s_.beta1) add_buffer("exp_avg");
    for (size_t g = 0; g < groups.size(); ++g) {
      add_scalar(lr_name(g), 0);
      for (const auto& parameter : groups[g].parameters) add_moments(parameter);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    ++scalar("step");
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const auto& parameter : groups_[g].parameters) step_parameter(g, parameter, lrs[g]);
    }
  }

  /// The rate of each group's first parameter, as the automatic schedule logs it; it uses the rms before the last step.
  std::map<std::string, std::vector<double>> statistics() const override {
    if (!s_.relative_step) return {};
    std::vector<double> rates;
    for (size_t g = 0; g < groups_.size(); ++g) rates.push_back(scalar(lr_name(g)));
    return {{"lr", rates}};
  }

 private:
  static std::string lr_name(size_t g) { return "lr." + std::to_string(g); }

  void add_moments(const Parameter& parameter) {
    const auto& value = parameter.value;
    const auto options = at::TensorOptions(value.device()).dtype(at::kFloat);
    if (value.dim() < 2) {
      add_tensor(parameter.name, "exp_avg_sq", at::zeros(value.sizes(), options));
      return;
    }
    add_tensor(parameter.name, "exp_avg_sq_row", at::zeros(row_means_shape(value.sizes()), options));
    add_tensor(parameter.name, "exp_avg_sq_col", at::zeros(column_means_shape(value.sizes()), options));
  }

  double learning_rate(double lr, double rms_p) const {
    const double t = scalar("step");
    double rate = lr;
    if (s_.relative_step) rate = std::min(s_.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
    return s_.scale_parameter ? rate * std::max(s_.eps_scale, rms_p) : rate;
  }

  /// g divided by the root of its second moment.
  at::Tensor normalized(const Parameter& parameter, const at::Tensor& g) {
    const double b = 1 - std::pow(scalar("step"), s_.decay_rate);
    const auto square = g.square().add_(s_.eps_square);
    if (g.dim() < 2) {
      auto& v = tensor(parameter.name, "exp_avg_sq");
      v.mul_(b).add_(square, 1 - b);
      return v.rsqrt().mul_(g);
    }
    auto& row = tensor(parameter.name, "exp_avg_sq_row");
    auto& column = tensor(parameter.name, "exp_avg_sq_col");
    update_means(row, column, square, b);
    return inverse_root(row, column).mul_(g);
  }

  void step_parameter(size_t g, const Parameter& parameter, double group_lr) {
    const auto& group = groups_[g];
    auto p = part(group.flat, group, parameter);
    const auto grad = part(group.flat_grad, group, parameter);
    const double rms_p = rms(p), lr = learning_rate(group_lr, rms_p);
    if (&parameter == &group.parameters.front()) scalar(lr_name(g)) = lr;
    auto update = normalized(parameter, grad);
    update.div_(std::max(1.0, rms(update) / s_.clip_threshold)).mul_(lr);
    if (s_.beta1) {
      auto m = part(buffer(g, "exp_avg"), group, parameter);
      m.mul_(*s_.beta1).add_(update, 1 - *s_.beta1);
      update = m;
    }
    if (s_.weight_decay != 0) p.mul_(1 - s_.weight_decay * lr);
    p.sub_(update);
  }

  AdafactorSettings s_;
};

/// Makes the reference's automatic additions: relative_step appended if absent, forced by warmup_init.
void add_defaults(KeywordArgs& args) {
  if (!args.has("relative_step")) args.set("relative_step", {true});
  if (!args.flag("relative_step", true) && args.flag("warmup_init", false)) {
    log::warn_once("[--optimizer_args] warmup_init needs relative_step: relative_step=True is used.");
    args.set("relative_step", {true});
  }
}

}  // namespace

bool adafactor_sets_lr(KeywordArgs args) {
  add_defaults(args);
  return args.flag("relative_step", true);
}

std::unique_ptr<Optimizer> make_adafactor(OptimizerRequest& request) {
  auto& args = request.args;
  add_defaults(args);
  const auto eps = args.numbers("eps", {1e-30, 1e-3});
  AdafactorSettings s{};
  s.eps_square = eps[0];
  s.eps_scale = eps[1];
  s.clip_threshold = args.number("clip_threshold", 1.0);
  s.decay_rate = args.number("decay_rate", -0.8);
  s.weight_decay = args.number("weight_decay", 0);
  s.beta1 = args.optional_number("beta1");
  s.scale_parameter = args.flag("scale_parameter", true);
  s.relative_step = args.flag("relative_step", true);
  s.warmup_init = args.flag("warmup_init", false);
  return std::make_unique<Adafactor>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
