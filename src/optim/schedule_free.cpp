// AdamW, RAdam and SGD without a schedule.
#include "optim/schedule_free.h"

#include <cmath>
#include <functional>

#include "optim/averaging_optimizer.h"

namespace loraptor::optim {
namespace {

/// The direction of a step (without weight decay) and the factor of its learning rate.
struct Direction {
  at::Tensor n;
  double lr_factor;
};

struct ScheduleFreeSettings {
  double beta1, weight_decay, r, weight_lr_power;
  bool has_second_moment;
  /// Updates v (undefined without second moment) and returns the direction; k counts steps done.
  std::function<Direction(const at::Tensor& g, at::Tensor& v, double k)> direction;
};

class ScheduleFree : public AveragingOptimizer {
 public:
  ScheduleFree(std::vector<ParamGroup>& groups, std::string description, ScheduleFreeSettings settings)
      : AveragingOptimizer(groups, std::move(description), settings.beta1), s_(std::move(settings)) {
    add_scalar("k", 0);
    if (s_.has_second_moment) add_buffer("exp_avg_sq");
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const char* key : kGroupKeys) add_scalar(of_group(key, g), 0);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    begin_step();
    for (size_t g = 0; g < groups_.size(); ++g) step_group(g, lrs[g]);
    ++scalar("k");
  }

  std::map<std::string, std::vector<double>> statistics() const override {
    std::map<std::string, std::vector<double>> all;
    all["k"] = std::vector<double>(groups_.size(), scalar("k"));
    for (const char* key : kGroupKeys) {
      for (size_t g = 0; g < groups_.size(); ++g) all[key].push_back(scalar(of_group(key, g)));
    }
    return all;
  }

 private:
  static constexpr const char* kGroupKeys[] = {"lr_max", "weight_sum", "scheduled_lr"};
  static std::string of_group(const char* key, size_t g) { return key + ("." + std::to_string(g)); }

  void step_group(size_t g, double base_lr) {
    const double k = scalar("k");
    at::Tensor y = groups_[g].flat, none;
    at::Tensor& z = buffer(g, "z");
    Direction direction = s_.direction(groups_[g].flat_grad, s_.has_second_moment ? buffer(g, "exp_avg_sq") : none, k);
    const double lr = base_lr * direction.lr_factor;
    double& lr_max = scalar(of_group("lr_max", g));
    double& weight_sum = scalar(of_group("weight_sum", g));
    scalar(of_group("scheduled_lr", g)) = lr;
    lr_max = std::max(lr_max, lr);
    const double weight = std::pow(k + 1, s_.r) * std::pow(lr_max, s_.weight_lr_power);
    weight_sum += weight;
    const double c = weight_sum != 0 ? weight / weight_sum : 0;
    at::Tensor n = direction.n;
    if (s_.weight_decay != 0) n = n.add(y, s_.weight_decay);
    y.lerp_(z, c).add_(n, lr * (s_.beta1 * (1 - c) - 1));
    z.sub_(n, lr);
  }

  ScheduleFreeSettings s_;
};

ScheduleFreeSettings read_common(KeywordArgs& args, double beta1) {
  args.without_effect("foreach", "all updates are fused here");
  ScheduleFreeSettings s{};
  s.beta1 = beta1;
  s.weight_decay = args.number("weight_decay", 0);
  s.r = args.number("r", 0);
  s.weight_lr_power = args.number("weight_lr_power", 2);
  s.has_second_moment = true;
  return s;
}

double warm_up(double k, double steps) { return k < steps ? (k + 1) / steps : 1.0; }

}  // namespace

std::unique_ptr<Optimizer> make_adamw_schedule_free(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.999});
  const double eps = request.args.number("eps", 1e-8), warmup = request.args.number("warmup_steps", 0);
  ScheduleFreeSettings s = read_common(request.args, betas[0]);
  s.direction = [=](const at::Tensor& g, at::Tensor& v, double k) {
    v.mul_(betas[1]).addcmul_(g, g, 1 - betas[1]);
    const auto root = (v / (1 - std::pow(betas[1], k + 1))).sqrt_().add_(eps);
    return Direction{g / root, warm_up(k, warmup)};
  };
  return std::make_unique<ScheduleFree>(request.groups, request.described(), std::move(s));
}

std::unique_ptr<Optimizer> make_radam_schedule_free(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.999});
  const double eps = request.args.number("eps", 1e-8);
  const bool silent = request.args.flag("silent_sgd_phase", true);
  ScheduleFreeSettings s = read_common(request.args, betas[0]);
  s.direction = [=](const at::Tensor& g, at::Tensor& v, double k) {
    v.mul_(betas[1]).addcmul_(g, g, 1 - betas[1]);
    const double power = std::pow(betas[1], k + 1), correction = 1 - power;
    const double limit = 2 / (1 - betas[1]) - 1, rho = limit - 2 * (k + 1) * power / correction;
    if (rho <= 4) return Direction{g, silent ? 0.0 : 1.0};
    const double rectify = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
    return Direction{g / (v / correction).sqrt_().add_(eps), rectify};
  };
  return std::make_unique<ScheduleFree>(request.groups, request.described(), std::move(s));
}

std::unique_ptr<Optimizer> make_sgd_schedule_free(OptimizerRequest& request) {
  const double momentum = request.args.number("momentum", 0.9), warmup = request.args.number("warmup_steps", 0);
  ScheduleFreeSettings s = read_common(request.args, momentum);
  s.has_second_moment = false;
  s.direction = [=](const at::Tensor& g, at::Tensor&, double k) { return Direction{g, warm_up(k, warmup)}; };
  return std::make_unique<ScheduleFree>(request.groups, request.described(), std::move(s));
}

}  // namespace loraptor::optim
