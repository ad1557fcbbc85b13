// State buffers of the optimizers, and how they are saved.
#include "optim/stateful_optimizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace loraptor::optim {

void StatefulOptimizer::add_buffer(const std::string& key, double initial) {
  auto& list = buffers_[key];
  for (const auto& group : groups_) list.push_back(at::full_like(group.flat, initial, at::kFloat));
}

void StatefulOptimizer::add_tensor(const std::string& parameter, const std::string& key, at::Tensor initial) {
  tensors_[parameter + "." + key] = std::move(initial);
}

at::Tensor StatefulOptimizer::part(const at::Tensor& flat_like, const ParamGroup& group, const Parameter& parameter) {
  const int64_t offset = parameter.value.storage_offset() - group.flat.storage_offset();
  return flat_like.narrow(0, offset, parameter.value.numel()).view(parameter.value.sizes());
}

std::map<std::string, at::Tensor> StatefulOptimizer::live_state() const {
  std::map<std::string, at::Tensor> state = tensors_;
  for (const auto& [key, list] : buffers_) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const auto& parameter : groups_[g].parameters) {
        state[parameter.name + "." + key] = part(list[g], groups_[g], parameter);
      }
    }
  }
  return state;
}

std::map<std::string, at::Tensor> StatefulOptimizer::state_dict() const {
  at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : live_state()) state[name] = tensor.clone();
  for (const auto& [key, value] : scalars_) state[key] = at::scalar_tensor(value, at::kDouble);
  return state;
}

void StatefulOptimizer::load_state_dict(const std::map<std::string, at::Tensor>& state) {
  at::NoGradGuard no_grad;
  auto live = live_state();
  const auto wrong = [](const std::string& what) { throw RunError("[optimizer state] " + what); };
  const auto stored = [&](const std::string& name) {
    const auto found = state.find(name);
    if (found == state.end()) {
      wrong(fmt::format("tensor '{}' is missing.\nHint: a state fits only the optimizer and network that wrote it.",
                        name));
    }
    return found->second;
  };
  for (const auto& [name, tensor] : state) {
    if (!live.count(name) && !scalars_.count(name)) {
      wrong(fmt::format("unexpected tensor '{}'.\nHint: a state fits only the optimizer and network that wrote it.",
                        name));
    }
  }
  for (const auto& [name, tensor] : live) {
    const auto from = stored(name);
    if (from.sizes() != tensor.sizes() || from.scalar_type() != tensor.scalar_type()) {
      wrong(fmt::format("tensor '{}' does not fit: got {} [{}], expected {} [{}].", name,
                        at::toString(from.scalar_type()), fmt::join(from.sizes().vec(), ","),
                        at::toString(tensor.scalar_type()), fmt::join(tensor.sizes().vec(), ",")));
    }
  }
  for (auto& [name, tensor] : live) tensor.copy_(stored(name));
  for (auto& [key, value] : scalars_) value = stored(key).item<double>();
}

}  // namespace loraptor::optim
