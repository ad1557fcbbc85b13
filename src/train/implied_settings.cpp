// Settings that follow from other settings.
#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "optim/optimizer.h"
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

/// The reference asks whether these say anything, so that an empty one stands for none.
void drop_empty(TrainConfig& config) {
  auto& model = config.model;
  for (std::optional<std::string>* setting :
       {&config.loop.resume, &config.logging.console_log_file, &config.sample.sample_prompts, &model.clip_l,
        &model.clip_g, &model.t5xxl, &model.vae, &model.tokenizer_cache_dir, &model.t5xxl_device, &model.t5xxl_dtype}) {
    if (*setting && (*setting)->empty()) setting->reset();
  }
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

void imply_optimizer(optim::OptimizerConfig& optimizer) {
  if (optimizer.optimizer_type.empty() && optimizer.use_8bit_adam != optimizer.use_lion_optimizer) {
    optimizer.optimizer_type = optimizer.use_8bit_adam ? "AdamW8bit" : "Lion";
    optimizer.use_8bit_adam = optimizer.use_lion_optimizer = false;
  }
}

void imply_memory(memory::MemoryConfig& memory, Warnings& warnings) {
  if (memory.fp8_base_unet) memory.fp8_base = true;
  imply(memory.cpu_offload_checkpointing, memory.gradient_checkpointing, "cpu_offload_checkpointing",
        "gradient_checkpointing", warnings);
}

}  // namespace

Warnings apply_implied_settings(TrainConfig& config) {
  Warnings warnings;
  drop_empty(config);
  if (config.cache.vae_batch_size == 0) {
    config.cache.vae_batch_size = 1;
    warnings.emplace_back("vae_batch_size 0 is taken as 1");
  }
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
  imply_optimizer(config.optimizer);
  imply_memory(config.memory, warnings);
  drop_if_not_positive(config.sample.sample_every_n_steps, "sample_every_n_steps", warnings);
  drop_if_not_positive(config.sample.sample_every_n_epochs, "sample_every_n_epochs", warnings);
  if (!config.loop.seed) config.loop.seed = static_cast<int64_t>(std::random_device()());
  return warnings;
}

}  // namespace loraptor::train
