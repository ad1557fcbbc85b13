// Switching between training point and averaged point.
#include "optim/averaging_optimizer.h"

#include <fmt/format.h>

#include "base/error.h"

namespace loraptor::optim {

AveragingOptimizer::AveragingOptimizer(std::vector<ParamGroup>& groups, std::string description, double beta1)
    : StatefulOptimizer(groups, std::move(description)), beta1_(beta1) {
  if (!(beta1 > 0 && beta1 < 1)) {
    throw UsageError(
        fmt::format("[--optimizer_args] the first beta (or momentum) of a schedule-free optimizer: got {}, expected a "
                    "number above 0 and below 1.",
                    beta1));
  }
  add_buffer("z");
  add_scalar("has_z", 0);
}

void AveragingOptimizer::begin_step() {
  LORAPTOR_ASSERT(kept_y_.empty());
  if (scalar("has_z") != 0) return;
  for (size_t g = 0; g < groups_.size(); ++g) buffer(g, "z").copy_(groups_[g].flat);
  scalar("has_z") = 1;
}

void AveragingOptimizer::eval() {
  at::NoGradGuard no_grad;
  if (!kept_y_.empty() || scalar("has_z") == 0) return;
  for (size_t g = 0; g < groups_.size(); ++g) {
    at::Tensor p = groups_[g].flat;
    kept_y_.push_back(p.clone());
    p.lerp_(buffer(g, "z"), 1 - 1 / beta1_);
  }
}

void AveragingOptimizer::train() {
  at::NoGradGuard no_grad;
  for (size_t g = 0; g < kept_y_.size(); ++g) at::Tensor(groups_[g].flat).copy_(kept_y_[g]);
  kept_y_.clear();
}

std::map<std::string, at::Tensor> AveragingOptimizer::state_dict() const {
  at::NoGradGuard no_grad;
  auto state = StatefulOptimizer::state_dict();
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto& y = kept_y_.empty() ? groups_[g].flat : kept_y_[g];
    for (const auto& parameter : groups_[g].parameters) {
      state[parameter.name + ".y"] = part(y, groups_[g], parameter).clone();
    }
  }
  return state;
}

void AveragingOptimizer::load_state_dict(const std::map<std::string, at::Tensor>& state) {
  at::NoGradGuard no_grad;
  auto rest = state;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& group : groups_) {
    for (const auto& parameter : group.parameters) {
      const auto found = rest.find(parameter.name + ".y");
      if (found == rest.end() || found->second.sizes() != parameter.value.sizes()) {
        throw RunError(
            fmt::format("[optimizer state] training point '{}.y' is missing or has another shape.", parameter.name));
      }
      copies.emplace_back(part(group.flat, group, parameter), found->second);
      rest.erase(found);
    }
  }
  StatefulOptimizer::load_state_dict(rest);
  kept_y_.clear();
  for (auto& [to, from] : copies) to.copy_(from);
}

}  // namespace loraptor::optim
