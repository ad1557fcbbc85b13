#include "train/text_source.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "text/tokenizer_files.h"
#include "train/observers.h"

namespace loraptor::train {
namespace {

pipeline::TextEncoding make_encoding(const TrainConfig& config) {
  const auto& model = config.model;
  // The reference's masks act only while caching; here always, unless it is asked for.
  const bool masks = config.cache.cache_text_encoder_outputs || !has_compat(config, "masks");
  return {text::load_tokenizers(text::default_tokenizer_search({}, model.tokenizer_cache_dir.value_or(""))),
          pipeline::TextEncodingOptions{.t5_length = model.t5xxl_max_token_length,
                                        .mask_clip = model.apply_lg_attn_mask && masks,
                                        .mask_t5 = model.apply_t5_attn_mask && masks}};
}

}  // namespace

bool trains_text(const TrainConfig& config) { return !config.network.network_train_unet_only; }

bool trains_t5(const TrainConfig& config) {
  const auto& args = config.network.network_args;
  return trains_text(config) && std::find(args.begin(), args.end(), "train_t5xxl=True") != args.end();
}

TextSource::TextSource(const TrainConfig& config, const Precision& precision, const models::ModelFiles& files,
                       at::Device device)
    : config_(config), device_(device), encoding_(make_encoding(config)), cache_dtype_(precision.compute) {
  encoding_.load_clip(files, {.dtype = precision.compute, .device = device});
  const auto t5_device = config.model.t5xxl_device ? at::Device(*config.model.t5xxl_device) : device;
  encoding_.load_t5(files, {.dtype = precision.t5, .device = t5_device});
  clip_l_width_ = encoding_.clip_l().width();
}

void TextSource::cache(const std::vector<std::string>& captions) {
  const Stopwatch watch;
  StageProgress progress("captions encoded");
  const auto encode = [&](const std::vector<std::string>& batch) {
    const at::NoGradGuard no_grad;
    return encoding_.encode(batch, false);
  };
  cache_.emplace(cache_dtype_);
  cache_->fill(captions, config_.cache.text_encoder_batch_size.value_or(config_.data.train_batch_size), encode,
               [&](int64_t done, int64_t total) { progress.update(done, total); });
  log::info("{} captions encoded in {:.1f} s", cache_->size(), watch.seconds());
  encoding_.release_t5();
  if (!trains_text(config_)) encoding_.release_clip();
}

models::TextOutputs TextSource::outputs(const std::vector<std::string>& captions, bool with_grad) const {
  models::TextOutputs outputs;
  if (cache_ && !encoding_.has_clip()) {
    outputs = cache_->get(captions);
  } else {
    const bool records = with_grad && trains_text(config_);
    const at::AutoGradMode mode(records);
    outputs = encoding_.encode(captions, records);
    if (cache_) outputs.t5_out = cache_->get(captions).t5_out;
  }
  return {outputs.lg_out.to(device_), outputs.t5_out.to(device_), outputs.lg_pooled.to(device_)};
}

}  // namespace loraptor::train
