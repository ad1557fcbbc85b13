#include "network/network_merge.h"

#include <fmt/ranges.h>

#include <set>

#include "base/error.h"
#include "base/log.h"
#include "network/key_names.h"
#include "network/lora_file.h"

namespace loraptor::network {

int64_t merge_lora_file(const std::filesystem::path& path, double multiplier,
                        const std::vector<TargetLinear>& targets) {
  const LoraFile file = read_lora_file(path);
  int64_t merged = 0;
  std::vector<std::string> left_out = file.unknown_keys;
  std::map<std::string, nn::Linear*> layers;
  std::set<TargetModel> models;
  for (const auto& target : targets) {
    layers[module_name(target.model, target.path)] = target.layer;
    models.insert(target.model);
  }
  int64_t of_other_models = 0;
  for (const auto& [name, pair] : file.modules) {
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
    const auto delta = pair.delta();
    if (delta.size(0) != layer.out_features() || delta.size(1) != layer.in_features()) {
      throw FileError(path, fmt::format("{}: got a product of shape [{}], expected [{},{}].", name,
                                        fmt::join(delta.sizes(), ","), layer.out_features(), layer.in_features()));
    }
    layer.weight().add(delta * multiplier);
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
