#include "train/metadata.h"

#include <fmt/ranges.h>

#include <filesystem>

#include "base/hash.h"
#include "base/python_format.h"
#include "optim/optimizer.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

/// Collects keys; values are printed as Python prints them.
class Writer {
 public:
  template <class T>
  void add(const std::string& key, const T& value) {
    all_[key] = python_repr(value);
  }
  void add_text(const std::string& key, const std::string& value) { all_[key] = value; }
  io::Metadata take() { return std::move(all_); }

 private:
  io::Metadata all_;
};

std::string list_or_none(const std::vector<double>& values) {
  if (values.empty()) return "None";
  std::string text;
  for (double value : values) text += (text.empty() ? "" : ", ") + python_repr(value);
  return "[" + text + "]";
}

/// Name and both hashes of a model file: the old hash looks at 64 KiB from offset 1 MiB.
void add_file(Writer& out, const std::string& prefix, const std::string& hash, const std::optional<std::string>& file) {
  if (!file) return;
  out.add_text("ss_" + prefix + "_name", fs::path(*file).filename().string());
  if (!fs::exists(*file)) return;
  out.add_text("ss_" + hash + "_hash", sha256_hex_of_file(*file, 0x100000, 0x10000).substr(0, 8));
  out.add_text("ss_new_" + hash + "_hash", sha256_hex_of_file(*file));
}

void add_network(Writer& out, const TrainConfig& config) {
  const auto& network = config.network;
  out.add_text("ss_network_module", network.network_module.value_or("networks.lora_sd3"));
  out.add("ss_network_dim", network.network_dim);
  out.add_text("ss_network_alpha", network.network_alpha_is_integer
                                       ? python_repr(static_cast<int64_t>(network.network_alpha))
                                       : python_repr(network.network_alpha));
  out.add("ss_network_dropout", network.network_dropout);
  if (!network.network_args.empty()) {
    nlohmann::ordered_json args = nlohmann::ordered_json::object();
    for (const auto& item : network.network_args) {
      const auto at = item.find('=');
      args[item.substr(0, at)] = item.substr(at + 1);
    }
    if (!network.dim_from_weights && !args.contains("dropout")) {
      args["dropout"] = network.network_dropout ? nlohmann::ordered_json(*network.network_dropout) : nullptr;
    }
    out.add_text("ss_network_args", python_json(args));
  }
  out.add("ss_scale_weight_norms", network.scale_weight_norms);
  out.add("ss_training_comment", network.training_comment);
}

void add_schedule(Writer& out, const TrainConfig& config) {
  const auto& warmup = config.schedule.lr_warmup_steps;
  out.add_text("ss_lr_warmup_steps",
               warmup.is_fraction ? python_repr(warmup.value) : python_repr(static_cast<int64_t>(warmup.value)));
  if (optim::optimizer_traits(config.optimizer).own_schedule) {
    // Ref: sd-scripts@48d368f library/train_util.py:get_optimizer.
    out.add_text("ss_lr_scheduler", "adafactor:" + python_repr(config.optimizer.learning_rate));
    for (const char* rate : {"ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr"}) out.add_text(rate, "None");
  } else {
    out.add("ss_lr_scheduler", config.schedule.lr_scheduler);
    out.add("ss_learning_rate", config.optimizer.learning_rate);
    out.add("ss_unet_lr", config.optimizer.unet_lr);
    out.add_text("ss_text_encoder_lr", list_or_none(config.optimizer.text_encoder_lr));
  }
  out.add("ss_max_grad_norm", config.optimizer.max_grad_norm);
}

void add_flow(Writer& out, const TrainConfig& config) {
  out.add("ss_loss_type", config.flow.loss_type);
  out.add("ss_huber_schedule", config.flow.huber_schedule);
  out.add("ss_huber_scale", config.flow.huber_scale);
  out.add("ss_huber_c", config.flow.huber_c);
  out.add("ss_weighting_scheme", config.flow.weighting_scheme);
  out.add("ss_logit_mean", config.flow.logit_mean);
  out.add("ss_logit_std", config.flow.logit_std);
  out.add("ss_mode_scale", config.flow.mode_scale);
  // Not recorded by the reference, although the result depends on them.
  out.add("ss_training_shift", config.flow.training_shift);
  out.add("ss_min_timestep", config.flow.min_timestep);
  out.add("ss_max_timestep", config.flow.max_timestep);
}

void add_model(Writer& out, const TrainConfig& config) {
  const auto& model = config.model;
  out.add("ss_apply_lg_attn_mask", model.apply_lg_attn_mask);
  out.add("ss_apply_t5_attn_mask", model.apply_t5_attn_mask);
  out.add("ss_clip_l_dropout_rate", model.clip_l_dropout_rate);
  out.add("ss_clip_g_dropout_rate", model.clip_g_dropout_rate);
  out.add("ss_t5_dropout_rate", model.t5_dropout_rate);
  if (model.t5_internal_dropout > 0) out.add("ss_t5_internal_dropout", model.t5_internal_dropout);
  out.add("ss_pos_emb_random_crop_rate", model.pos_emb_random_crop_rate);
  out.add("ss_enable_scaled_pos_embed", model.enable_scaled_pos_embed);
  out.add("ss_t5xxl_max_token_length", model.t5xxl_max_token_length);
  if (!model.kohya_compat.empty())
    out.add_text("ss_kohya_compat", fmt::format("{}", fmt::join(model.kohya_compat, ",")));
  add_file(out, "sd_model", "sd_model", model.pretrained_model_name_or_path);
  add_file(out, "vae", "vae", model.vae);
}

void add_data(Writer& out, const TrainConfig& config, const RunFacts& facts) {
  const auto& data = config.data;
  out.add("ss_caption_dropout_rate", data.caption_dropout_rate);
  out.add("ss_caption_dropout_every_n_epochs", data.caption_dropout_every_n_epochs);
  out.add("ss_caption_tag_dropout_rate", data.caption_tag_dropout_rate);
  out.add("ss_face_crop_aug_range", data.face_crop_aug_range);
  out.add("ss_prior_loss_weight", data.prior_loss_weight);
  out.add("ss_resize_interpolation", data.resize_interpolation);
  out.add("ss_validation_seed", data.validation_seed);
  out.add("ss_validation_split", data.validation_split);
  for (const auto& [key, value] : facts.dataset.items()) {
    out.add_text(key, value.is_string() ? value.get<std::string>() : python_json(value));
  }
}

}  // namespace

io::Metadata training_metadata(const TrainConfig& config, const TrainPlan& plan, const RunFacts& facts) {
  Writer out;
  for (const auto& [name, value] : config.recorded) out.add_text("ss_" + name, value);
  out.add("ss_session_id", facts.session_id);
  out.add("ss_training_started_at", facts.started_at);
  out.add("ss_output_name", config.saving.output_name);
  out.add("ss_num_batches_per_epoch", plan.batches_per_epoch);
  out.add("ss_num_epochs", plan.epochs);
  out.add("ss_max_train_steps", plan.max_steps);
  out.add("ss_gradient_accumulation_steps", config.loop.gradient_accumulation_steps);
  out.add("ss_gradient_checkpointing", config.memory.gradient_checkpointing);
  out.add("ss_mixed_precision", config.memory.mixed_precision);
  out.add("ss_full_fp16", config.memory.full_fp16);
  out.add("ss_fp8_base", config.memory.fp8_base);
  out.add("ss_fp8_base_unet", config.memory.fp8_base_unet);
  out.add("ss_lowram", config.memory.lowram);
  out.add("ss_cache_latents", config.cache.cache_latents);
  out.add("ss_seed", static_cast<int64_t>(facts.seed));
  out.add("ss_max_validation_steps", config.loop.max_validation_steps);
  out.add("ss_validate_every_n_epochs", config.loop.validate_every_n_epochs);
  out.add("ss_validate_every_n_steps", config.loop.validate_every_n_steps);
  out.add_text("ss_base_model_version", facts.model_type);
  out.add_text("ss_optimizer", facts.optimizer_description);
  out.add_text("ss_sd_scripts_commit_hash", "(unknown)");
  out.add_text("ss_loraptor_version", LORAPTOR_VERSION);
  add_network(out, config);
  add_schedule(out, config);
  add_flow(out, config);
  add_model(out, config);
  add_data(out, config, facts);
  return out.take();
}

io::Metadata minimal_metadata(const io::Metadata& all) {
  io::Metadata kept;
  for (const char* key : {"ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha",
                          "ss_network_args"}) {
    if (const auto found = all.find(key); found != all.end()) kept.insert(*found);
  }
  return kept;
}

}  // namespace loraptor::train
