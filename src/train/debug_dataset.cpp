#include "train/debug_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "data/data_loader.h"
#include "text/tokenizer_files.h"
#include "train/dataset_check.h"
#include "train/text_source.h"
#include "train/train_plan.h"

namespace loraptor::train {
namespace {

constexpr int64_t kClipTokens = 77;

std::optional<text::Tokenizers> find_tokenizers(const TrainConfig& config) {
  try {
    return text::load_tokenizers(text::default_tokenizer_search({}, config.model.tokenizer_cache_dir.value_or("")));
  } catch (const UsageError& error) {
    log::warn("token ids are left out: {}", error.what());
    return std::nullopt;
  }
}

/// The ids without padding.
std::string ids_text(const text::Tokenizer& tokenizer, const std::string& caption, int64_t length) {
  const text::Tokens tokens = tokenizer.tokenize(caption, length);
  std::vector<int64_t> ids;
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    if (tokens.mask[i] != 0) ids.push_back(tokens.ids[i]);
  }
  const std::string cut = tokens.dropped > 0 ? fmt::format(", {} more are cut off", tokens.dropped) : "";
  return fmt::format("{} tokens{}: {}", ids.size(), cut, fmt::join(ids, " "));
}

class BatchPrinter {
 public:
  BatchPrinter(const TrainConfig& config, const data::Dataset& dataset, std::FILE* out)
      : config_(config), dataset_(dataset), out_(out), tokenizers_(find_tokenizers(config)) {}

  void print(const data::Batch& batch) const {
    for (size_t i = 0; i < batch.plan.images.size(); ++i) {
      const data::ImageEntry& image = dataset_.images()[static_cast<size_t>(batch.plan.images[i])];
      print_image(batch, i, image);
      print_caption(batch.captions[i], image.caption);
    }
  }

 private:
  void print_image(const data::Batch& batch, size_t i, const data::ImageEntry& image) const {
    const data::ResizeCrop& crop = batch.crops[i];
    fmt::print(out_, "  {}: {}, resized to {}, cut {} at {},{}{}, loss weight {}{}{}\n", image.path,
               data::to_string({image.width, image.height}), data::to_string({crop.resized_width, crop.resized_height}),
               data::to_string({crop.width, crop.height}), crop.crop_left, crop.crop_top,
               batch.flipped[i] != 0 ? ", mirrored" : "", batch.loss_weights[static_cast<int64_t>(i)].item<float>(),
               image.is_regularisation ? ", regularisation image" : "",
               batch.masks
                   ? fmt::format(", mask mean {:.3f}", (*batch.masks)[static_cast<int64_t>(i)].mean().item<double>())
                   : "");
  }

  /// A cache without drawn captions holds them as they are stored; CLIP encoders that are trained read them live.
  void print_caption(const std::string& transformed, std::string_view stored) const {
    const bool is_stored = config_.cache.cache_text_encoder_outputs && config_.cache.cache_text_encoder_variants == 0;
    const std::string t5(is_stored ? stored : transformed);
    const std::string clip = is_stored && !trains_text(config_) ? t5 : transformed;
    fmt::print(out_, "    caption: \"{}\"\n", clip);
    if (clip != t5) fmt::print(out_, "    of T5, from the cache: \"{}\"\n", t5);
    if (!tokenizers_) return;
    fmt::print(out_, "    clip_l: {}\n", ids_text(*tokenizers_->clip_l, clip, kClipTokens));
    fmt::print(out_, "    clip_g: {}\n", ids_text(*tokenizers_->clip_g, clip, kClipTokens));
    fmt::print(out_, "    t5xxl: {}\n", ids_text(*tokenizers_->t5, t5, config_.model.t5xxl_max_token_length));
  }

  const TrainConfig& config_;
  const data::Dataset& dataset_;
  std::FILE* out_;
  std::optional<text::Tokenizers> tokenizers_;
};

/// The batches of one group, in the order of their use.
void show_group(const TrainConfig& config, const TrainPlan& plan, const data::Dataset& dataset, std::FILE* out) {
  auto plans = dataset.epoch(1);
  const size_t count = plans.size();
  const BatchPrinter printer(config, dataset, out);
  data::DataLoader loader(dataset, std::move(plans),
                          {.batches_per_step = plan.accumulation,
                           .with_pixels = !config.cache.cache_latents,
                           .workers = config.data.max_data_loader_n_workers});
  for (int64_t number = 0; loader.has_next(); ++number) {
    const int64_t step = number / plan.accumulation + 1;
    if (!dataset.is_validation() && step > plan.max_steps) break;
    const data::Batch batch = loader.next();
    fmt::print(out, "{}, batch {} of {}: bucket {}, {} images{}\n",
               dataset.is_validation() ? "validation" : fmt::format("epoch 1, step {}", step), number + 1, count,
               data::to_string({batch.plan.bucket_width, batch.plan.bucket_height}), batch.plan.images.size(),
               dataset.parts().size() > 1 ? fmt::format(" of data set {}", batch.plan.dataset) : "");
    printer.print(batch);
  }
}

}  // namespace

void show_batches(const TrainConfig& config, std::FILE* out) {
  auto groups = data::Dataset::build_groups(config.data, static_cast<uint64_t>(config.loop.seed.value_or(0)));
  check_dataset(config, groups.training);
  const TrainPlan plan = make_train_plan(config, groups.training.batches_per_epoch());
  groups.training.set_max_train_steps(plan.max_steps);
  groups.set_caption_variants(config.cache.cache_text_encoder_variants);
  log::info("{}", groups.training.report());
  show_group(config, plan, groups.training, out);
  if (groups.validation.batches_per_epoch() > 0) show_group(config, plan, groups.validation, out);
}

}  // namespace loraptor::train
