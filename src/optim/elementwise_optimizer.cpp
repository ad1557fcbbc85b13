// Elementwise optimizers: the common part, Lion and SGD.
#include "optim/elementwise_optimizer.h"

#include <fmt/format.h>

#include "base/error.h"

namespace loraptor::optim {

ElementwiseOptimizer::ElementwiseOptimizer(std::vector<ParamGroup>& groups, std::string description,
                                           const std::vector<std::pair<std::string, double>>& buffers, Update update,
                                           std::optional<double> momentum)
    : StatefulOptimizer(groups, std::move(description)), update_(std::move(update)), momentum_(momentum) {
  add_scalar("step", 0);
  for (const auto& [key, initial] : buffers) add_buffer(key, initial);
}

void ElementwiseOptimizer::step(const std::vector<double>& lrs) {
  at::NoGradGuard no_grad;
  const double t = ++scalar("step");
  for (size_t g = 0; g < groups_.size(); ++g) {
    Elements elements{groups_[g].flat,
                      groups_[g].flat_grad,
                      lrs[g],
                      t,
                      momentum_.value_or(0),
                      [this, g](const std::string& key) -> at::Tensor& { return buffer(g, key); }};
    update_(elements);
  }
}

bool ElementwiseOptimizer::set_momentum(double momentum) {
  if (momentum_) momentum_ = momentum;
  return momentum_.has_value();
}

std::unique_ptr<Optimizer> make_lion(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.99});
  double decay = request.args.number("weight_decay", 0);
  request.args.without_effect("use_triton", "the update has one implementation here");
  if (request.args.flag("decoupled_weight_decay", false)) decay /= request.config.learning_rate;
  const auto update = [=](Elements& e) {
    auto& m = e.state("exp_avg");
    if (decay != 0) e.p.mul_(1 - e.lr * decay);
    e.p.sub_((m * e.momentum).add_(e.g, 1 - e.momentum).sign_(), e.lr);
    m.mul_(betas[1]).add_(e.g, 1 - betas[1]);
  };
  using Buffers = std::vector<std::pair<std::string, double>>;
  return std::make_unique<ElementwiseOptimizer>(request.groups, request.described(), Buffers{{"exp_avg", 0}}, update,
                                                betas[0]);
}

namespace {

struct SgdSettings {
  double momentum, dampening, weight_decay;
  bool nesterov, maximize;
};

std::unique_ptr<Optimizer> make_sgd_with(OptimizerRequest& request, const SgdSettings& s) {
  std::vector<std::pair<std::string, double>> buffers;
  if (s.momentum != 0) buffers.emplace_back("momentum_buffer", 0);
  const auto update = [s](Elements& e) {
    at::Tensor g = s.maximize ? e.g.neg() : e.g;
    if (s.weight_decay != 0) g = g.add(e.p, s.weight_decay);
    if (s.momentum != 0) {
      auto& b = e.state("momentum_buffer");
      if (e.t == 1) b.copy_(g);
      else b.mul_(e.momentum).add_(g, 1 - s.dampening);
      g = s.nesterov ? g.add(b, e.momentum) : b;
    }
    e.p.sub_(g, e.lr);
  };
  const auto momentum = s.momentum != 0 ? std::optional(s.momentum) : std::nullopt;  // without it there is no buffer
  return std::make_unique<ElementwiseOptimizer>(request.groups, request.described(), buffers, update, momentum);
}

SgdSettings read_sgd(KeywordArgs& args, double momentum) {
  for (const char* key : {"foreach", "differentiable", "fused"}) args.without_effect(key, "all updates are fused here");
  return {args.number("momentum", momentum), args.number("dampening", 0), args.number("weight_decay", 0), false,
          args.flag("maximize", false)};
}

void check_nesterov(const SgdSettings& settings) {
  if (!settings.nesterov || (settings.momentum > 0 && settings.dampening == 0)) return;
  throw UsageError(
      fmt::format("[--optimizer_args nesterov] Nesterov momentum needs a momentum and no dampening: got momentum={}, "
                  "dampening={}.",
                  settings.momentum, settings.dampening));
}

}  // namespace

std::unique_ptr<Optimizer> make_sgd(OptimizerRequest& request) {
  SgdSettings settings = read_sgd(request.args, 0);
  settings.nesterov = request.args.flag("nesterov", false);
  check_nesterov(settings);
  return make_sgd_with(request, settings);
}

std::unique_ptr<Optimizer> make_sgd_nesterov(OptimizerRequest& request) {
  if (!request.args.has("momentum")) request.args.set("momentum", {0.9});
  SgdSettings settings = read_sgd(request.args, 0.9);
  settings.nesterov = true;
  check_nesterov(settings);
  return make_sgd_with(request, settings);
}

}  // namespace loraptor::optim
