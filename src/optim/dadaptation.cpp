// The D-Adaptation family.
#include "optim/dadaptation.h"

#include <cmath>
#include <functional>
#include <limits>

#include "optim/long_sums.h"
#include "optim/prodigy.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

/// One group in one step.
struct Group {
  at::Tensor p, g;
  double lr, d, dlr, t;  // lr of this group; t = 1, 2, ...
  std::function<at::Tensor&(const std::string&)> state;
};

/// Sums over all elements that the estimate of d is made from.
struct Sums {
  double product = 0;   // of gradients and s
  double s_l1 = 0;      // of |s|
  double s_square = 0;  // of s^2, weighted
  double g_square = 0;  // of g^2, weighted
};

/// What distinguishes the members of the family.
struct Rule {
  std::vector<std::pair<std::string, double>> buffers;
  bool keeps_start = false;       // needs the initial parameters, state "x0"
  bool first_group_rate = false;  // the first group's rate counts, others may differ
  bool normalizes = false;        // dlr is divided by the norm of the first gradient
  double growth_rate = std::numeric_limits<double>::infinity();
  std::function<double(double t)> correction = [](double) { return 1.0; };
  std::function<void(Group&, Sums&)> gather;
  /// New estimate of d from the sums and the running sum kept between steps.
  std::function<double(const Sums&, double dlr, double& running)> estimate;
  std::function<void(Group&)> move;
};

double sum_of(const at::Tensor& a) { return a.sum(at::kDouble).item<double>(); }

class DAdaptation : public StatefulOptimizer {
 public:
  DAdaptation(std::vector<ParamGroup>& groups, std::string description, double d0, Rule rule)
      : StatefulOptimizer(groups, std::move(description)), rule_(std::move(rule)) {
    add_scalar("k", 0);
    add_scalar("d", d0);
    add_scalar("running", 0);
    add_scalar("first_norm", 0);
    for (const auto& [key, initial] : rule_.buffers) add_buffer(key, initial);
    if (rule_.keeps_start) add_buffer("x0");
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    const double t = scalar("k") + 1;
    if (t == 1) start(lrs);
    const double lr = rule_.first_group_rate ? lrs.front() : common_rate(lrs, description());
    double dlr = scalar("d") * lr * rule_.correction(t);
    if (rule_.normalizes) {
      if (scalar("first_norm") == 0) return;
      dlr /= scalar("first_norm");
    }
    Sums sums;
    for (size_t g = 0; g < groups_.size(); ++g) {
      auto group = view(g, lrs[g], dlr, t);
      rule_.gather(group, sums);
    }
    if (sums.s_l1 == 0) return;
    if (lr > 0) {
      double& d = scalar("d");
      const double d_hat = rule_.estimate(sums, dlr, scalar("running"));
      d = std::max(d, std::min(d_hat, d * rule_.growth_rate));
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      auto group = view(g, lrs[g], dlr, t);
      if (rule_.move) rule_.move(group);
    }
    ++scalar("k");
  }

  std::map<std::string, std::vector<double>> statistics() const override {
    return {{"d", std::vector<double>(groups_.size(), scalar("d"))}};
  }

 private:
  Group view(size_t g, double lr, double dlr, double t) {
    const auto state = [this, g](const std::string& key) -> at::Tensor& { return buffer(g, key); };
    return {groups_[g].flat, groups_[g].flat_grad, lr, scalar("d"), dlr, t, state};
  }

  void start(const std::vector<double>& lrs) {
    double square = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (rule_.keeps_start) buffer(g, "x0").copy_(groups_[g].flat);
      if (rule_.normalizes && lrs[g] > 0) square += long_dot(groups_[g].flat_grad, groups_[g].flat_grad);
    }
    scalar("first_norm") = std::sqrt(square);
  }

  Rule rule_;
};

/// Arguments that all members share.
struct Common {
  double weight_decay, d0;
};

Common read_common(KeywordArgs& args, double weight_decay, Rule& rule) {
  args.without_effect("log_every", "d is in the log files");
  args.without_effect("fsdp_in_use", "one flat buffer holds all parameters");
  rule.growth_rate = args.number("growth_rate", rule.growth_rate);
  return {args.number("weight_decay", weight_decay), args.number("d0", 1e-6)};
}

std::unique_ptr<Optimizer> make(OptimizerRequest& request, const Common& common, Rule rule) {
  return std::make_unique<DAdaptation>(request.groups, request.described(), common.d0, std::move(rule));
}

at::Tensor with_decay(const Group& e, double decay) { return decay != 0 ? e.g.add(e.p, decay) : e.g; }

/// Running sum of products, d from it: DAdaptAdam and DAdaptLion.
auto estimate_by_products(double q) {
  return [q](const Sums& sums, double, double& running) {
    running = q * running + (1 - q) * sums.product;
    return running / ((1 - q) * sums.s_l1);
  };
}

/// Weighted squares of s against those of the gradients: the first version of the paper.
auto estimate_by_squares(double beta) {
  return [beta](const Sums& sums, double dlr, double& running) {
    running = beta * running + (1 - beta) * dlr * dlr * sums.g_square;
    return (sums.s_square / (1 - beta) - running) / sums.s_l1;
  };
}

std::unique_ptr<Optimizer> make_adam(OptimizerRequest& request, bool is_preprint) {
  auto& args = request.args;
  Rule rule;
  const Common common = read_common(args, 0, rule);
  const auto betas = args.numbers("betas", {0.9, 0.999});
  const double eps = args.number("eps", 1e-8), decay = common.weight_decay;
  const bool decouple = args.flag("decouple", false);
  rule.buffers = {{"s", 0}, {"exp_avg", 0}, {"exp_avg_sq", 0}};
  if (!is_preprint && args.flag("use_bias_correction", false)) {
    rule.correction = [=](double t) { return std::sqrt(1 - std::pow(betas[1], t)) / (1 - std::pow(betas[0], t)); };
  }
  const double keep_s = is_preprint ? betas[1] : std::sqrt(betas[1]);
  rule.gather = [=](Group& e, Sums& sums) {
    if (e.lr == 0) return;  // rests, moments and all: the first step of a warm-up, a group that is not trained
    const auto g = decouple ? e.g : with_decay(e, decay);
    auto& s = e.state("s");
    auto& v = e.state("exp_avg_sq");
    if (!is_preprint) sums.product += e.dlr * long_dot(g, s / v.sqrt().add_(eps));
    e.state("exp_avg").mul_(betas[0]).add_(g, e.dlr * (1 - betas[0]));
    v.mul_(betas[1]).addcmul_(g, g, 1 - betas[1]);
    s.mul_(keep_s).add_(g, e.dlr * (1 - keep_s));
    if (is_preprint) {
      const auto root = v.sqrt().add_(eps);
      sums.g_square += sum_of(g.square().div_(root));
      sums.s_square += sum_of(s.square().div_(root));
    }
    sums.s_l1 += sum_of(s.abs());
  };
  rule.move = [=](Group& e) {
    // DAdaptAdam decays a group that rests too, as the package does.
    if (decouple && decay != 0 && (e.lr > 0 || !is_preprint)) e.p.mul_(1 - decay * e.dlr);
    e.p.sub_(e.state("exp_avg") / e.state("exp_avg_sq").sqrt().add_(eps));
  };
  if (is_preprint) rule.estimate = estimate_by_squares(betas[1]);
  else rule.estimate = estimate_by_products(keep_s);
  return make(request, common, std::move(rule));
}

std::unique_ptr<Optimizer> make_adan(OptimizerRequest& request, bool is_ip) {
  auto& args = request.args;
  Rule rule;
  const Common common = read_common(args, 0.02, rule);
  const auto betas = args.numbers("betas", {0.98, 0.92, 0.99});
  const double eps = args.number("eps", 1e-8), decay = common.weight_decay;
  const bool no_prox = args.flag("no_prox", false);
  rule.first_group_rate = true;
  rule.buffers = {{"s", 0}, {"exp_avg", 0}, {"exp_avg_diff", 0}, {"exp_avg_sq", 0}, {"pre_grad", 0}};
  rule.gather = [=](Group& e, Sums& sums) {
    auto& s = e.state("s");
    auto& v = e.state("exp_avg_sq");
    auto& previous = e.state("pre_grad");
    const auto difference = e.t == 1 ? at::zeros_like(e.g) : e.g - previous;
    const auto ahead = e.g.add(difference, betas[1]);
    if (is_ip) sums.product += e.dlr * long_dot(e.g, s / v.sqrt().add_(eps));
    e.state("exp_avg").mul_(betas[0]).add_(e.g, e.dlr * (1 - betas[0]));
    e.state("exp_avg_diff").mul_(betas[1]).add_(difference, e.dlr * (1 - betas[1]));
    v.mul_(betas[2]).addcmul_(ahead, ahead, 1 - betas[2]);
    s.mul_(betas[2]).add_(e.g, e.dlr * (1 - betas[2]));
    if (!is_ip) {
      const auto root = v.sqrt().add_(eps);
      sums.g_square += sum_of(e.g.square().div_(root));
      sums.s_square += sum_of(s.square().div_(root));
    }
    sums.s_l1 += sum_of(s.abs());
    previous.copy_(e.g);
  };
  rule.move = [=](Group& e) {
    if (no_prox && decay != 0) e.p.mul_(1 - e.dlr * decay);
    e.p.addcdiv_(e.state("exp_avg").add(e.state("exp_avg_diff"), betas[1]), e.state("exp_avg_sq").sqrt().add_(eps), -1);
    if (!no_prox && decay != 0) e.p.div_(1 + e.dlr * decay);
  };
  if (is_ip) {
    rule.estimate = [beta = betas[2]](const Sums& sums, double, double& running) {
      running = beta * running + (1 - beta) * sums.product;
      return 2 * (beta / (1 - beta)) * running / sums.s_l1;
    };
  } else {
    rule.estimate = estimate_by_squares(betas[2]);
  }
  return make(request, common, std::move(rule));
}

}  // namespace

std::unique_ptr<Optimizer> make_dadapt_adam(OptimizerRequest& request) { return make_adam(request, false); }
std::unique_ptr<Optimizer> make_dadapt_adam_preprint(OptimizerRequest& request) { return make_adam(request, true); }
std::unique_ptr<Optimizer> make_dadapt_adan(OptimizerRequest& request) { return make_adan(request, false); }
std::unique_ptr<Optimizer> make_dadapt_adan_ip(OptimizerRequest& request) { return make_adan(request, true); }

std::unique_ptr<Optimizer> make_dadapt_lion(OptimizerRequest& request) {
  Rule rule;
  const Common common = read_common(request.args, 0, rule);
  const auto betas = request.args.numbers("betas", {0.9, 0.99});
  const double decay = common.weight_decay, q = std::sqrt(betas[1]);
  rule.buffers = {{"exp_avg", 0}, {"s", 0}};
  rule.gather = [=](Group& e, Sums& sums) {
    auto& m = e.state("exp_avg");
    auto& s = e.state("s");
    if (decay != 0) e.p.mul_(1 - e.dlr * decay);
    const auto direction = (m * betas[0]).add_(e.g, 1 - betas[0]).sign_();
    e.p.sub_(direction, e.dlr);
    m.mul_(betas[1]).add_(e.g, e.dlr * (1 - betas[1]));
    sums.product += e.dlr * long_dot(direction, s);
    s.mul_(q).add_(direction, e.dlr * (1 - q));
    sums.s_l1 += sum_of(s.abs());
  };
  rule.estimate = estimate_by_products(q);
  return make(request, common, std::move(rule));
}

std::unique_ptr<Optimizer> make_dadapt_sgd(OptimizerRequest& request) {
  Rule rule;
  const Common common = read_common(request.args, 0, rule);
  const double momentum = request.args.number("momentum", 0), decay = common.weight_decay;
  rule.buffers = {{"s", 0}};
  rule.keeps_start = rule.normalizes = true;
  rule.gather = [=](Group& e, Sums& sums) {
    if (e.lr == 0) return;
    const auto g = with_decay(e, decay);
    auto& s = e.state("s");
    sums.product += e.dlr * long_dot(g, s);
    s.add_(g, e.dlr);
    sums.s_square += long_dot(s, s);
    sums.s_l1 += sums.s_square;
  };
  rule.estimate = [](const Sums& sums, double, double& running) {
    running += sums.product;
    return 2 * running / std::sqrt(sums.s_square);
  };
  rule.move = [=](Group& e) { e.p.mul_(momentum).add_(e.state("x0") - e.state("s"), 1 - momentum); };
  return make(request, common, std::move(rule));
}

std::unique_ptr<Optimizer> make_dadapt_adagrad(OptimizerRequest& request) {
  Rule rule;
  const Common common = read_common(request.args, 0, rule);
  const double momentum = request.args.number("momentum", 0), eps = request.args.number("eps", 1e-6);
  const double decay = common.weight_decay;
  rule.buffers = {{"alphak", 1e-6}, {"sk", 0}};
  rule.keeps_start = rule.first_group_rate = true;
  rule.gather = [=](Group& e, Sums& sums) {
    const auto g = with_decay(e, decay);
    auto& a = e.state("alphak");
    auto& s = e.state("sk");
    a.addcmul_(g, g, 1);
    const auto root = a.sqrt().add_(eps);
    sums.g_square += sum_of(g.square().div_(root));
    s.add_(g, e.dlr);
    sums.s_square += sum_of(s.square().div_(root));
    sums.s_l1 += sum_of(s.abs());
  };
  rule.estimate = [](const Sums& sums, double dlr, double& running) {
    running += dlr * dlr * sums.g_square;
    return (sums.s_square - running) / sums.s_l1;
  };
  rule.move = [=](Group& e) {
    const auto z = e.state("x0") - e.state("sk") / e.state("alphak").sqrt().add_(eps);
    e.p.mul_(momentum).add_(z, 1 - momentum);
  };
  return make(request, common, std::move(rule));
}

}  // namespace loraptor::optim
