#include "network/network_merge.h"

#include <fmt/ranges.h>

#include <functional>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "network/factor_file.h"
#include "network/key_names.h"
#include "network/lora_file.h"

namespace loraptor::network {

namespace {

/// What each module of a file adds to the weight of its layer with a multiplier, float32 [out,in].
using Changes = std::map<std::string, std::function<at::Tensor(const at::Tensor& weight, double multiplier)>>;

Changes read_changes(const std::filesystem::path& path, std::vector<std::string>& unknown_keys) {
  Changes changes;
  if (is_beyond_lora(path)) {
    FactorFile file = read_factor_file(path);
    unknown_keys = std::move(file.unknown_keys);
    for (const auto& [name, set] : file.modules) {
      changes[name] = [set = set](const at::Tensor& weight, double multiplier) {
        return weight_change(set.factors, set.strength(), set.dora_scale, weight, multiplier);
      };
    }
    return changes;
  }
  LoraFile file = read_lora_file(path);
  unknown_keys = std::move(file.unknown_keys);
  for (const auto& [name, pair] : file.modules) {
    changes[name] = [pair = pair](const at::Tensor&, double multiplier) { return pair.delta().mul_(multiplier); };
  }
  return changes;
}

}  // namespace

int64_t merge_lora_file(const std::filesystem::path& path, double multiplier,
                        const std::vector<TargetLinear>& targets) {
  int64_t merged = 0;
  std::vector<std::string> left_out;
  const Changes changes = read_changes(path, left_out);
  std::map<std::string, nn::Linear*> layers;
  std::set<TargetModel> models;
  for (const auto& target : targets) {
    layers[module_name(target.model, target.path)] = target.layer;
    models.insert(target.model);
  }
  int64_t of_other_models = 0;
  for (const auto& [name, change] : changes) {
    if (const auto model = model_of_module(name); model && models.count(*model) == 0) {
      ++of_other_models;
      continue;
    }
    const auto found = layers.find(name);
    if (found == layers.end()) {
      left_out.push_back(name);
      continue;
    }
    nn::Linear& layer = *found->second;
    const auto delta = change(layer.weight().read(), multiplier);
    if (delta.size(0) != layer.out_features() || delta.size(1) != layer.in_features()) {
      throw FileError(path, fmt::format("{}: got a product of shape [{}], expected [{},{}].", name,
                                        fmt::join(delta.sizes(), ","), layer.out_features(), layer.in_features()));
    }
    layer.weight().add(delta);
    ++merged;
  }
  if (merged == 0 && of_other_models == 0) {
    throw FileError(path, fmt::format("LoRA modules: got {} that match no layer (first: {}), expected modules of the "
                                      "loaded models.",
                                      left_out.size(), left_out.front()));
  }
  if (!left_out.empty()) {
    log::warn("[{}] {} names match no layer of the loaded models, left out (first: {}).", path.string(),
              left_out.size(), left_out.front());
  }
  if (merged == 0) return 0;
  log::info("[{}] {} modules merged with multiplier {}.", path.string(), merged, multiplier);
  return merged;
}

void merge_base_weights(const NetworkConfig& config, const std::vector<TargetLinear>& targets) {
  const auto& multipliers = config.base_weights_multiplier;
  if (multipliers.size() > config.base_weights.size()) {
    throw UsageError(
        fmt::format("[--base_weights_multiplier] count: got {}, expected at most one a file of "
                    "--base_weights ({}).",
                    multipliers.size(), config.base_weights.size()));
  }
  for (size_t i = 0; i < config.base_weights.size(); ++i) {
    merge_lora_file(config.base_weights[i], i < multipliers.size() ? multipliers[i] : 1, targets);
  }
}

}  // namespace loraptor::network
