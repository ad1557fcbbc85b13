#include "train/run_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace loraptor::train {
namespace {

/// Options that change where things go, how fast they come, or what is said, and no number; by the beginning of their
/// names.
constexpr std::array kWithoutInfluence = {
    "output_", "resume", "auto_resume", "recovery_", "save_", "log_", "logging_dir", "console_", "sample_", "metadata_",
    "max_data_loader_n_workers", "persistent_data_loader_workers", "config_file", "validat", "max_validation_steps",
    "no_metadata", "training_comment", "huggingface_", "wandb_", "lowram", "highvram", "gradient_checkpointing",
    "cpu_offload_checkpointing", "blocks_to_swap", "vae_batch_size", "text_encoder_batch_size", "skip_cache_check",
    "cache_format",
    // Said by facts of their own: validation_split and validation_seed with the data set.
    "max_train_", "pretrained_model_name_or_path", "seed"};

bool has_influence(const std::string& name) {
  return std::none_of(kWithoutInfluence.begin(), kWithoutInfluence.end(),
                      [&](std::string_view start) { return name.starts_with(start); });
}

}  // namespace

RunIdentity run_identity(const TrainConfig& config, const TrainPlan& plan, size_t images) {
  RunIdentity identity;
  for (const auto& setting : config.given) {
    if (has_influence(setting.name)) identity[setting.name] = setting.value;
  }
  identity["images of the data set"] = fmt::format("{}", images);
  identity["batches an epoch"] = fmt::format("{}", plan.batches_per_epoch);
  identity["optimizer steps of the run"] = fmt::format("{}", plan.max_steps);
  if (const auto& model = config.model.pretrained_model_name_or_path) {
    std::error_code code;
    const auto bytes = std::filesystem::file_size(*model, code);
    if (!code) identity["bytes of the model file"] = fmt::format("{}", bytes);
  }
  return identity;
}

nlohmann::json to_json(const RunIdentity& identity) { return nlohmann::json(identity); }

std::vector<std::string> differences(const nlohmann::json& recorded, const RunIdentity& now) {
  std::vector<std::string> found;
  if (!recorded.is_object()) return found;
  RunIdentity before;
  for (const auto& [name, value] : recorded.items()) {
    if (value.is_string()) before[name] = value.get<std::string>();
  }
  const auto text = [](const RunIdentity& identity, const std::string& name) {
    const auto value = identity.find(name);
    return value == identity.end() ? std::string("not given") : value->second;
  };
  RunIdentity all = before;
  all.insert(now.begin(), now.end());
  for (const auto& [name, value] : all) {
    const std::string was = text(before, name), is = text(now, name);
    if (was != is) found.push_back(fmt::format("{}: was {}, is {}", name, was, is));
  }
  return found;
}

}  // namespace loraptor::train
