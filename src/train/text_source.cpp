#include "train/text_source.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "models/sd3_variant.h"
#include "models/weights_hash.h"
#include "tensor/device.h"
#include "text/tokenizer_files.h"
#include "train/observers.h"

namespace loraptor::train {
namespace {

constexpr int64_t kClipLWidth = 768;
constexpr int64_t kRecentBytes = 256 << 20;  // about fifty captions of 256 T5 tokens

pipeline::TextEncoding make_encoding(const TrainConfig& config) {
  const auto& model = config.model;
  // The reference's masks act only while caching; here always, unless it is asked for.
  const bool masks = config.cache.cache_text_encoder_outputs || !has_compat(config, "masks");
  return {text::load_tokenizers(text::default_tokenizer_search({}, model.tokenizer_cache_dir.value_or(""))),
          pipeline::TextEncodingOptions{.t5_length = model.t5xxl_max_token_length,
                                        .mask_clip = model.apply_lg_attn_mask && masks,
                                        .mask_t5 = model.apply_t5_attn_mask && masks}};
}

/// Channels of CLIP-L's output, from the shape of its token embedding; without a file those of the published models.
int64_t clip_l_width_of(const models::ModelFiles& files) {
  if (!files.has(models::Part::clip_l)) return kClipLWidth;
  return files.part(models::Part::clip_l, {}).shape("text_model.embeddings.token_embedding.weight").at(1);
}

}  // namespace

bool trains_text(const TrainConfig& config) { return !config.network.network_train_unet_only; }

bool trains_t5(const TrainConfig& config) {
  const auto& args = config.network.network_args;
  return trains_text(config) && std::find(args.begin(), args.end(), "train_t5xxl=True") != args.end();
}

double t5_dropout_rate(const TrainConfig& config, bool is_training) {
  constexpr double kOfTheModel = 0.1;  // T5 v1.1's configuration
  if (has_compat(config, "t5_dropout") && config.memory.gradient_checkpointing) return kOfTheModel;
  return is_training && trains_t5(config) ? config.model.t5_internal_dropout : 0;
}

TextSource::TextSource(const TrainConfig& config, const Precision& precision, models::ModelFiles& files,
                       at::Device device, tensor::CounterRng rng, std::function<void()> on_loaded)
    : config_(config),
      precision_(precision),
      files_(files),
      device_(device),
      rng_(rng),
      on_loaded_(std::move(on_loaded)),
      encoding_(make_encoding(config)),
      recent_(kRecentBytes) {
  clip_l_width_ = clip_l_width_of(files);
}

void TextSource::load_clip() {
  if (encoding_.has_clip()) return;
  encoding_.load_clip(files_, {.dtype = precision_.compute, .device = device_});
}

void TextSource::load() {
  if (encoding_.has_clip() && encoding_.has_t5()) return;
  load_clip();
  const auto t5_device =
      config_.model.t5xxl_device ? tensor::named_device(*config_.model.t5xxl_device, "--t5xxl_device") : device_;
  encoding_.load_t5(files_, {.dtype = precision_.t5, .device = t5_device});
  on_loaded_();
}

data::TextRequest TextSource::text_request() const {
  const auto mmdit = models::detect_variant(files_.part(models::Part::mmdit, {}));  // what the outputs are for
  return {.apply_lg_mask = config_.model.apply_lg_attn_mask,
          .apply_t5_mask = config_.model.apply_t5_attn_mask,
          .lg_width = mmdit.pooled_width,
          .t5_width = mmdit.context_width};
}

/// Encoder files that are not given (they are not needed when everything is cached) are not compared.
data::CacheFacts TextSource::encoder_facts() const {
  data::CacheFacts facts{{"t5_length", fmt::format("{}", config_.model.t5xxl_max_token_length)}};
  for (const auto part : {models::Part::clip_l, models::Part::clip_g, models::Part::t5xxl}) {
    if (files_.has(part)) facts[models::part_name(part)] = models::weights_hash(files_, part);
  }
  std::string merged;
  for (const auto& file : config_.network.base_weights) merged += sha256_hex_of_file(file) + " ";
  for (const double multiplier : config_.network.base_weights_multiplier) merged += fmt::format("{} ", multiplier);
  facts["base_weights"] = merged.empty() ? "none" : sha256_hex(merged);
  return facts;
}

void TextSource::cache_files(const data::Dataset& dataset) {
  StageProgress progress("captions encoded");
  pipeline::cache_text_files(
      {.dataset = dataset,
       .request = text_request(),
       .facts = encoder_facts(),
       .dtype = precision_.compute,
       .skip_check = config_.cache.skip_cache_check,
       .format = config_.cache.format(),
       .batch_size = config_.cache.text_encoder_batch_size.value_or(config_.data.train_batch_size),
       .encoding = [this]() -> const pipeline::TextEncoding& { return load(), encoding_; },
       .progress = [&](int64_t done, int64_t total) { progress.update(done, total); }},
      *cache_);
}

void TextSource::cache(const data::DatasetGroups& data, const std::vector<std::string>& prompts) {
  const Stopwatch watch;
  cache_.emplace(precision_.compute);
  std::vector<std::string> captions = prompts;
  for (const auto* dataset : {&data.training, &data.validation}) {
    if (config_.cache.cache_text_encoder_outputs_to_disk) {
      cache_files(*dataset);
    } else {
      for (auto& caption : pipeline::cached_captions(*dataset)) captions.push_back(std::move(caption.text));
    }
  }
  StageProgress progress("captions encoded");
  const auto encode = [&](const std::vector<std::string>& batch) {
    const at::NoGradGuard no_grad;
    load();
    return encoding_.encode(batch, false);
  };
  cache_->fill(captions, config_.cache.text_encoder_batch_size.value_or(config_.data.train_batch_size), encode,
               [&](int64_t done, int64_t total) { progress.update(done, total); });
  log::info("{} captions ready after {:.1f} s{}", cache_->size(), watch.seconds(),
            encoding_.has_t5() ? "" : "; no text encoder was loaded");
  encoding_.release_t5();
  files_.close(models::Part::t5xxl);  // its memory is free before the diffusion transformer comes
  if (!trains_text(config_)) {
    encoding_.release_clip();
    files_.close(models::Part::clip_l);
    files_.close(models::Part::clip_g);
  } else if (!encoding_.has_clip()) {
    load_clip();
    on_loaded_();
  }
}

models::TextOutputs TextSource::frozen_outputs(const std::vector<std::string>& captions) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> lg_out, t5_out, lg_pooled;
  for (const auto& caption : captions) {
    const auto* known = recent_.find(caption);
    models::TextOutputs row = known != nullptr ? *known : encoding_.encode({caption}, false);
    if (known == nullptr) {
      row = {row.lg_out.to(at::kCPU), row.t5_out.to(at::kCPU), row.lg_pooled.to(at::kCPU)};
      recent_.keep(caption, row,
                   static_cast<int64_t>(row.lg_out.nbytes() + row.t5_out.nbytes() + row.lg_pooled.nbytes()));
    }
    lg_out.push_back(row.lg_out);
    t5_out.push_back(row.t5_out);
    lg_pooled.push_back(row.lg_pooled);
  }
  return {at::cat(lg_out), at::cat(t5_out), at::cat(lg_pooled)};
}

models::TextOutputs TextSource::outputs(const BatchCaptions& captions, bool with_grad, int64_t micro_step) {
  const models::ActivationDropout dropout{
      .rate = t5_dropout_rate(config_, with_grad), .rng = rng_, .micro_step = micro_step};
  models::TextOutputs outputs;
  if (cache_ && !encoding_.has_clip()) {
    outputs = cache_->get(captions.cached);
  } else if (!trains_text(config_) && !dropout.is_on()) {
    outputs = frozen_outputs(captions.live);
  } else {
    const bool records = with_grad && trains_text(config_);
    const at::AutoGradMode mode(records);
    outputs = encoding_.encode(captions.live, records, dropout);
    if (cache_) outputs.t5_out = cache_->get(captions.cached).t5_out;
  }
  return {outputs.lg_out.to(device_), outputs.t5_out.to(device_), outputs.lg_pooled.to(device_)};
}

}  // namespace loraptor::train
