// Parameters stored in 16 bits.
#include "optim/rounded_optimizer.h"

#include "base/error.h"
#include "tensor/rng.h"

namespace loraptor::optim {
namespace {

class RoundedOptimizer : public Optimizer {
 public:
  RoundedOptimizer(std::vector<ParamGroup>& groups, uint64_t seed, const OptimizerMaker& make_inner)
      : groups_(groups), rng_(seed) {
    for (const auto& group : groups_) wide_.push_back(widened(group));
    inner_ = make_inner(wide_);
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    load_values();
    for (size_t g = 0; g < groups_.size(); ++g) wide_[g].flat_grad.copy_(groups_[g].flat_grad);
    inner_->step(lrs);
    store_values(/*stochastic=*/true);
    load_values();  // a state that is saved now must hold the rounded values too
    ++step_;
  }

  bool set_momentum(double momentum) override { return inner_->set_momentum(momentum); }

  std::map<std::string, at::Tensor> state_dict() const override {
    auto state = inner_->state_dict();
    state[kStepName] = at::scalar_tensor(static_cast<double>(step_), at::kDouble);
    return state;
  }

  void load_state_dict(const std::map<std::string, at::Tensor>& state) override {
    auto rest = state;
    const auto step = rest.extract(kStepName);
    if (step.empty()) throw RunError(std::string("[optimizer state] tensor '") + kStepName + "' is missing.");
    load_values();
    inner_->load_state_dict(rest);
    step_ = static_cast<uint64_t>(step.mapped().item<double>());
    store_values(false);
  }

  void train() override {
    load_values();  // what changed them meanwhile stays: a limit of their norms
    inner_->train();
    store_values(false);
  }

  void eval() override {
    load_values();
    inner_->eval();
    store_values(false);
  }

  std::map<std::string, std::vector<double>> statistics() const override { return inner_->statistics(); }
  std::string description() const override { return inner_->description(); }

 private:
  static constexpr const char* kStepName = "rounding_step";

  static ParamGroup widened(const ParamGroup& group) {
    const FlatBuffer buffer(group.flat.numel(), group.flat.options().dtype(at::kFloat));
    ParamGroup wide{group.name, group.lr, buffer.values(), buffer.gradients(), {}};
    for (const auto& parameter : group.parameters) {
      const int64_t offset = parameter.value.storage_offset() - group.flat.storage_offset();
      wide.parameters.push_back({parameter.name, buffer.leaf(offset, parameter.value.sizes())});
    }
    wide.flat.copy_(group.flat);
    return wide;
  }

  void load_values() {
    at::NoGradGuard no_grad;
    for (size_t g = 0; g < groups_.size(); ++g) wide_[g].flat.copy_(groups_[g].flat);
  }

  void store_values(bool stochastic) {
    at::NoGradGuard no_grad;
    for (size_t g = 0; g < groups_.size(); ++g) {
      auto to = groups_[g].flat;
      const auto& from = wide_[g].flat;
      if (!stochastic || to.scalar_type() != at::kBFloat16) {
        to.copy_(from);
        continue;
      }
      const auto uniform = rng_.uniform({tensor::Purpose::stochastic_rounding, step_, g}, from.sizes());
      to.copy_(round_stochastically(from, uniform.to(from.device())));
    }
  }

  std::vector<ParamGroup>& groups_;
  tensor::CounterRng rng_;
  std::vector<ParamGroup> wide_;
  std::unique_ptr<Optimizer> inner_;
  uint64_t step_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_rounded_optimizer(std::vector<ParamGroup>& groups, uint64_t seed,
                                                  const OptimizerMaker& make_inner) {
  return std::make_unique<RoundedOptimizer>(groups, seed, make_inner);
}

at::Tensor round_stochastically(const at::Tensor& x, const at::Tensor& uniform) {
  // Adding up to one unit of the last kept bit below it, then cutting off: the carry happens with the right
  // probability.
  const auto bits = x.contiguous().view(at::kInt) + (uniform * 65536).to(at::kInt);
  const auto cut = at::bitwise_and(bits, static_cast<int64_t>(static_cast<int32_t>(0xFFFF0000u))).view(at::kFloat);
  return at::where(at::isfinite(x), cut, x).to(at::kBFloat16);
}

}  // namespace loraptor::optim
