// ProdigyPlusScheduleFree.
#include "optim/prodigy_plus.h"

#include <algorithm>
#include <cmath>

#include "optim/averaging_optimizer.h"
#include "optim/factored_moment.h"
#include "optim/long_sums.h"
#include "optim/prodigy.h"

namespace loraptor::optim {
namespace {

constexpr int64_t kSlice = 11;         // every eleventh element takes part in the estimate of d
constexpr int64_t kFactoredSide = 32;  // a matrix with a side this long keeps row and column means only
constexpr double kEarlyRmsLimit = 50;  // of an update, while d has not grown yet

struct ProdigyPlusSettings : ProdigySettings {
  bool split_groups, split_groups_mean, factored, stable;
};

at::Tensor rounded(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); }

class ProdigyPlus : public AveragingOptimizer {
 public:
  ProdigyPlus(std::vector<ParamGroup>& groups, std::string description, const ProdigyPlusSettings& settings)
      : AveragingOptimizer(groups, std::move(description), settings.beta1), s_(settings) {
    add_scalar("k", 0);
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const char* key : {"d", "d_prev"}) add_scalar(of(key, g), s_.d0);
      for (const char* key : {"numerator", "weight_sum"}) add_scalar(of(key, g), 0);
      for (const auto& parameter : groups[g].parameters) add_states(parameter);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    if (scalar("k") == 0) store_start();
    begin_step();
    const double common_d = mean_d();
    std::vector<Estimate> estimates(groups_.size());
    for (size_t g = 0; g < groups_.size(); ++g) {
      const bool use_mean = s_.split_groups && s_.split_groups_mean && groups_.size() > 1 && scalar("k") > 0;
      step_group(g, lrs[g] * (use_mean ? common_d : scalar(of("d", g))), estimates[g]);
    }
    if (s_.split_groups) {
      for (size_t g = 0; g < groups_.size(); ++g) update_d(g, estimates[g]);
    } else {
      update_common_d(estimates);
    }
    ++scalar("k");
  }

  std::map<std::string, std::vector<double>> statistics() const override {
    std::vector<double> d;
    for (size_t g = 0; g < groups_.size(); ++g) d.push_back(scalar(of("d", g)));
    return {{"d", d}};
  }

 private:
  struct Estimate {
    double numerator = 0, denominator = 0;
  };

  static std::string of(const char* key, size_t g) { return key + ("." + std::to_string(g)); }

  bool is_factored(const Parameter& parameter) const {
    const auto sizes = parameter.value.sizes();
    return s_.factored && sizes.size() >= 2 && *std::max_element(sizes.begin(), sizes.end()) >= kFactoredSide;
  }

  void add_states(const Parameter& parameter) {
    const auto& value = parameter.value;
    const auto options = at::TensorOptions(value.device()).dtype(at::kFloat);
    const int64_t sliced = (value.numel() + kSlice - 1) / kSlice;
    add_tensor(parameter.name, "p0", at::zeros({sliced}, options.dtype(at::kBFloat16)));
    add_tensor(parameter.name, "s", at::zeros({sliced}, options.dtype(at::kBFloat16)));
    if (!is_factored(parameter)) {
      add_tensor(parameter.name, "exp_avg_sq", at::zeros(value.sizes(), options));
      return;
    }
    const auto [row_dim, column_dim] = factored_dims(parameter);
    auto row = value.sizes().vec(), column = value.sizes().vec();
    row[row_dim] = 1;
    column[column_dim] = 1;
    add_tensor(parameter.name, "exp_avg_sq_row", at::zeros(row, options));
    add_tensor(parameter.name, "exp_avg_sq_col", at::zeros(column, options));
  }

  /// The longest axis, which row means run over, and the second longest, which column means run over.
  static std::pair<size_t, size_t> factored_dims(const Parameter& parameter) {
    const auto sizes = parameter.value.sizes();
    std::vector<size_t> order(sizes.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] < sizes[b]; });
    return {order[order.size() - 1], order[order.size() - 2]};
  }

  static at::Tensor sliced(const at::Tensor& x) { return x.reshape({-1}).slice(0, 0, x.numel(), kSlice); }

  void store_start() {
    for (const auto& group : groups_) {
      for (const auto& p : group.parameters) tensor(p.name, "p0").copy_(sliced(part(group.flat, group, p)));
    }
  }

  /// Harmonic mean of the groups' d.
  double mean_d() const {
    double inverse = 0;
    for (size_t g = 0; g < groups_.size(); ++g) inverse += 1 / scalar(of("d", g));
    return static_cast<double>(groups_.size()) / inverse;
  }

  at::Tensor denominator(const Parameter& parameter, const at::Tensor& g, double keep) {
    if (!is_factored(parameter)) {
      auto& v = tensor(parameter.name, "exp_avg_sq");
      v.mul_(keep).addcmul_(g, g, 1 - s_.beta2);
      return v.sqrt();
    }
    const auto [row_dim, column_dim] = factored_dims(parameter);
    const auto across_rows = static_cast<int64_t>(row_dim), across_columns = static_cast<int64_t>(column_dim);
    auto& row = tensor(parameter.name, "exp_avg_sq_row");
    auto& column = tensor(parameter.name, "exp_avg_sq_col");
    const auto square = g.square();
    row.mul_(keep).add_(square.mean(across_rows, true), 1 - s_.beta2);
    column.mul_(keep).add_(square.mean(across_columns, true), 1 - s_.beta2);
    // The class counts this axis as if the one row means run over were gone, although it is kept: in a matrix taller
    // than wide it is that one, and the row factor is 1.
    // Ref: prodigy-plus-schedule-free 1.9.2, core_optimiser.py:initialise_state_internal (reduce_dc).
    const int64_t normalized = across_columns > across_rows ? across_columns - 1 : across_columns;
    // 1e-30 for nothing but zeros: the gradient of lora_down while lora_up is still zero.
    return (row / row.mean(normalized, true).add_(1e-30)).sqrt_() * column.sqrt();
  }

  void gather(const Parameter& parameter, const at::Tensor& p, const at::Tensor& g, double d, Estimate& estimate) {
    auto& s = tensor(parameter.name, "s");
    const auto grad = sliced(g);
    const double weight = std::sqrt(d);
    estimate.numerator += weight * long_dot(grad, tensor(parameter.name, "p0").to(at::kFloat) - sliced(p));
    s.copy_(rounded(s.to(at::kFloat) * s_.beta3) + grad * weight);
    estimate.denominator += rounded(s.to(at::kFloat).abs().sum()).item<double>();
  }

  void step_group(size_t g, double dlr, Estimate& estimate) {
    const auto& group = groups_[g];
    const double d = scalar(of("d", g)), ratio = scalar(of("d_prev", g)) / d;
    const double weight = dlr * dlr;
    double& weight_sum = scalar(of("weight_sum", g));
    weight_sum += weight;
    const double c = weight_sum > 0 ? weight / weight_sum : 0;
    for (const auto& parameter : group.parameters) {
      auto y = part(group.flat, group, parameter), z = part(buffer(g, "z"), group, parameter);
      const auto grad = part(group.flat_grad, group, parameter);
      gather(parameter, y, grad, d, estimate);
      auto update = grad / denominator(parameter, grad, s_.beta2 * ratio * ratio).add_(s_.eps);
      if (s_.stable) {
        const double limit = d <= s_.d0 ? kEarlyRmsLimit : 1;
        update.div_(std::max(1.0, rms(update) / limit));
      }
      if (s_.weight_decay != 0) update.add_(y, s_.weight_decay);
      y.lerp_(z, c);
      z.sub_(update, dlr);
      y.sub_(update, dlr * (1 - s_.beta1 * (1 - c)));
    }
  }

  /// The estimate after a step; `numerator` is the running sum.
  double grown(double d, double& numerator, const Estimate& estimate) const {
    numerator *= s_.beta3;
    if (estimate.numerator >= 0) numerator += estimate.numerator;
    else if (d > s_.d0) numerator = std::min(numerator, estimate.numerator);
    return std::max(d, std::atan2(s_.d_coef * numerator, estimate.denominator));
  }

  void update_d(size_t g, const Estimate& estimate) {
    double& d = scalar(of("d", g));
    scalar(of("d_prev", g)) = d;
    d = grown(d, scalar(of("numerator", g)), estimate);
  }

  /// Only the first group's previous d advances, as in the reference.
  void update_common_d(const std::vector<Estimate>& estimates) {
    Estimate all;
    for (const auto& e : estimates) {
      all.numerator += e.numerator;
      all.denominator += e.denominator;
    }
    update_d(0, all);
    for (size_t g = 1; g < groups_.size(); ++g) scalar(of("d", g)) = scalar(of("d", 0));
  }

  ProdigyPlusSettings s_;
};

}  // namespace

std::unique_ptr<Optimizer> make_prodigy_plus(OptimizerRequest& request) {
  auto& args = request.args;
  ProdigyPlusSettings s{};
  static_cast<ProdigySettings&>(s) = read_prodigy_settings(args, /*beta2=*/0.99);
  s.split_groups = args.flag("split_groups", true);
  s.split_groups_mean = args.flag("split_groups_mean", true);
  s.factored = args.flag("factored", true);
  s.stable = args.flag("use_stableadamw", true);
  return std::make_unique<ProdigyPlus>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
