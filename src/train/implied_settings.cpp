// Settings that follow from other settings.
#include <algorithm>
#include <cctype>
#include <random>

#include <fmt/format.h>

#include "optim/optimizer.h"
#include "tensor/device.h"
#include "train/train_config_check.h"

namespace loraptor::train {
namespace {

using Warnings = std::vector<std::string>;

void imply(bool cause, bool& effect, const char* cause_flag, const char* effect_flag, Warnings& warnings) {
  if (!cause || effect) return;
  effect = true;
  warnings.push_back(fmt::format("--{} switches --{} on.", cause_flag, effect_flag));
}

void drop_if_not_positive(std::optional<int64_t>& interval, const char* flag, Warnings& warnings) {
  if (!interval || *interval > 0) return;
  warnings.push_back(fmt::format("--{} {} is ignored: expected 1 or more.", flag, *interval));
  interval.reset();
}

void imply_data(data::DataConfig& data, Warnings& warnings) {
  if (data.caption_extention) {
    data.caption_extension = *data.caption_extention;
    data.caption_extention.reset();
  }
  if (!data.dataset_config) return;
  for (auto [path, flag] : {std::pair(&data.train_data_dir, "train_data_dir"),
                            std::pair(&data.reg_data_dir, "reg_data_dir"), std::pair(&data.in_json, "in_json")}) {
    if (!*path) continue;
    path->reset();
    warnings.push_back(fmt::format("--{} is ignored: --dataset_config describes the data.", flag));
  }
}

/// Scripts ask for 8-bit AdamW by default, so that it must work where the optimizer list has no such thing.
bool is_missing_8bit_adam(const std::string& type) {
  const std::vector<std::string> names = optim::optimizer_names();
  if (std::find(names.begin(), names.end(), "AdamW8bit") != names.end()) return false;
  std::string name = type.substr(type.rfind('.') + 1);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name == "adamw8bit" || name == "pagedadamw8bit";
}

void imply_optimizer(optim::OptimizerConfig& optimizer, Warnings& warnings) {
  if (optimizer.optimizer_type.empty() && optimizer.use_8bit_adam != optimizer.use_lion_optimizer) {
    optimizer.optimizer_type = optimizer.use_8bit_adam ? "AdamW8bit" : "Lion";
    optimizer.use_8bit_adam = optimizer.use_lion_optimizer = false;
  }
  if (!is_missing_8bit_adam(optimizer.optimizer_type)) return;
  warnings.push_back(
      fmt::format("--optimizer_type {}: 8-bit states are not available in this version: AdamW with 32-bit "
                  "states is used; results are at least as accurate, state memory is larger.",
                  optimizer.optimizer_type));
  optimizer.optimizer_type = "AdamW";
}

void imply_memory(TrainConfig& config, Warnings& warnings) {
  memory::MemoryConfig& memory = config.memory;
  if (memory.fp8_base_unet) memory.fp8_base = true;
  imply(memory.cpu_offload_checkpointing, memory.gradient_checkpointing, "cpu_offload_checkpointing",
        "gradient_checkpointing", warnings);
  if (memory.blocks_to_swap.value_or(0) <= 0 || memory.cpu_offload_checkpointing) return;
  const bool on_cpu =
      config.loop.device == "cpu" || (config.loop.device == "auto" && tensor::default_device().is_cpu());
  if (!on_cpu) return;
  warnings.push_back(
      fmt::format("--blocks_to_swap {} has no use: all weights lie in host memory already.", *memory.blocks_to_swap));
  memory.blocks_to_swap.reset();
}

}  // namespace

Warnings apply_implied_settings(TrainConfig& config) {
  Warnings warnings;
  imply(config.cache.cache_latents_to_disk, config.cache.cache_latents, "cache_latents_to_disk", "cache_latents",
        warnings);
  imply(config.cache.cache_latents_posterior, config.cache.cache_latents, "cache_latents_posterior", "cache_latents",
        warnings);
  imply(config.cache.latents_variants > 0, config.cache.cache_latents, "latents_variants", "cache_latents", warnings);
  imply(config.cache.cache_text_encoder_outputs_to_disk, config.cache.cache_text_encoder_outputs,
        "cache_text_encoder_outputs_to_disk", "cache_text_encoder_outputs", warnings);
  imply(config.cache.cache_text_encoder_variants > 0, config.cache.cache_text_encoder_outputs,
        "cache_text_encoder_variants", "cache_text_encoder_outputs", warnings);
  imply(config.loop.auto_resume, config.saving.save_state_on_train_end, "auto_resume", "save_state_on_train_end",
        warnings);
  imply_data(config.data, warnings);
  imply_optimizer(config.optimizer, warnings);
  imply_memory(config, warnings);
  drop_if_not_positive(config.sample.sample_every_n_steps, "sample_every_n_steps", warnings);
  drop_if_not_positive(config.sample.sample_every_n_epochs, "sample_every_n_epochs", warnings);
  if (!config.loop.seed) config.loop.seed = static_cast<int64_t>(std::random_device()());
  return warnings;
}

}  // namespace loraptor::train
