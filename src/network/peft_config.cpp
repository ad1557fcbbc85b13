#include "network/peft_config.h"

#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"

namespace loraptor::network {
namespace {

using nlohmann::ordered_json;

double number_of(const ordered_json& members, const std::string& key, const std::filesystem::path& path) {
  const auto found = members.find(key);
  if (found != members.end() && found->is_number()) return found->get<double>();
  throw FileError(path, fmt::format("{}: got {}, expected the adapter's number.", key,
                                    found == members.end() ? "nothing" : found->dump()));
}

/// These begin by taking the pair out of the weight, so that the pair alone is not the change from the model.
/// Ref: peft 0.15 tuners/lora/layer.py:update_layer.
void refuse_changed_base(const ordered_json& members, const std::filesystem::path& path) {
  const auto found = members.find("init_lora_weights");
  if (found == members.end() || !found->is_string()) return;
  auto method = found->get<std::string>();
  for (char& c : method) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* known : {"pissa", "corda", "olora", "loftq"}) {
    if (!method.starts_with(known)) continue;
    throw FileError(path,
                    fmt::format("init_lora_weights: got {}, which changes the weights under the adapter, expected "
                                "one that does not.\nHint: save it with PEFT's "
                                "path_initial_model_for_weight_conversion.",
                                found->dump()));
  }
}

ordered_json parse_members(const std::string& text, const std::filesystem::path& path) {
  auto members = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!members.is_object()) throw FileError(path, "adapter configuration: got no JSON object, expected one.");
  return members;
}

}  // namespace

PeftConfig::PeftConfig(const ordered_json& members, const std::filesystem::path& path) : path_(path) {
  alpha_ = number_of(members, "lora_alpha", path);
  rank_ = number_of(members, "r", path);
  refuse_changed_base(members, path);
  const auto stabilised = members.find("use_rslora");
  is_rank_stabilised_ = stabilised != members.end() && stabilised->is_boolean() && stabilised->get<bool>();
  alphas_ = read_patterns(members, "alpha_pattern");
  ranks_ = read_patterns(members, "rank_pattern");
}

std::vector<PeftConfig::Pattern> PeftConfig::read_patterns(const ordered_json& members, const char* key) const {
  std::vector<Pattern> patterns;
  const auto found = members.find(key);
  if (found == members.end() || found->is_null()) return patterns;
  if (!found->is_object()) {
    throw FileError(path_, fmt::format("{}: got {}, expected an object of numbers by layer.", key, found->dump()));
  }
  for (const auto& [layer, value] : found->items()) {
    const double number = number_of(*found, layer, path_);
    try {
      patterns.push_back({std::regex("(.*\\.)?(" + layer + ")"), number});
    } catch (const std::regex_error&) {
      throw FileError(
          path_, fmt::format("{}: got '{}', expected names of layers or regular expressions for them.", key, layer));
    }
  }
  return patterns;
}

double PeftConfig::find(const std::vector<Pattern>& patterns, const std::string& layer, double other) {
  for (const auto& pattern : patterns) {
    if (std::regex_match(layer, pattern.layer)) return pattern.value;
  }
  return other;
}

double PeftConfig::strength(const std::string& layer, int64_t rank) const {
  const auto own = static_cast<double>(rank);
  if (const double said = find(ranks_, layer, rank_); said != own) {
    log::warn_once(fmt::format("[{}] r, rank_pattern: got {} for a layer whose tensors have rank {}; theirs is taken.",
                               path_.string(), said, rank));
  }
  return find(alphas_, layer, alpha_) / (is_rank_stabilised_ ? std::sqrt(own) : own);
}

PeftConfigs read_adapter_config(const std::filesystem::path& path) {
  const auto beside = path.parent_path() / "adapter_config.json";
  if (!std::filesystem::exists(beside)) {
    log::warn("[{}] no adapter_config.json beside the file: got no lora_alpha, alpha = rank is taken.", path.string());
    return {};
  }
  return {{"transformer", PeftConfig(parse_members(read_file(beside), beside), beside)}};
}

PeftConfigs adapter_configs(const io::Metadata& metadata, const std::filesystem::path& path) {
  const auto entry = metadata.find(kAdapterMetadata);
  if (entry == metadata.end()) return {};
  const auto all = parse_members(entry->second, path);
  std::map<std::string, ordered_json> components;
  for (const auto& [name, value] : all.items()) {
    const size_t dot = name.find('.');
    if (dot != std::string::npos) components[name.substr(0, dot)][name.substr(dot + 1)] = value;
  }
  PeftConfigs configs;
  for (const auto& [component, members] : components) configs.emplace(component, PeftConfig(members, path));
  return configs;
}

}  // namespace loraptor::network
