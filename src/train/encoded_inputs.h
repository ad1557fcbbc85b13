// From a loaded batch to what the model reads: latents and conditioning, cached or encoded now.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "models/model_config.h"
#include "models/vae.h"
#include "pipeline/cache_latents.h"
#include "pipeline/cache_text.h"
#include "pipeline/encode_latents.h"
#include "train/replay.h"
#include "train/text_source.h"
#include "train/train_step.h"

namespace loraptor::train {

/// Where latents and conditioning come from; session.cpp fills it in.
struct InputSources {
  const models::Vae* vae = nullptr;  // encodes live; null when latents are cached
  pipeline::LatentsSource latents;   // of cached images; empty when they are encoded live
  /// Text-encoder outputs of a batch's captions, with their graph where encoders are trained.
  std::function<models::TextOutputs(const BatchCaptions& captions, int64_t micro_step)> text;
  bool cache_holds_stored_captions = false;  // else what encoders would read
  bool text_is_read = false;                 // all outputs are cached: `text` computes nothing
  int64_t clip_l_width = 0;                  // channels of CLIP-L in lg_out and lg_pooled
  const Replay* replay = nullptr;
  tensor::DrawSource* draws = nullptr;
  tensor::CounterRng rng{0};  // encoder dropout
  at::Device device = at::kCPU;
};

class EncodedInputs {
 public:
  EncodedInputs(const models::ModelConfig& config, const data::Dataset& dataset, InputSources sources);

  /// Whether batches must come with pixels.
  bool needs_pixels() const { return sources_.vae != nullptr; }

  /// Encodes a batch for one micro-step.
  StepInputs encode(const data::Batch& batch, int64_t epoch, int64_t micro_step);

  /// Seconds that went into reading cached latents and text outputs since the last call.
  double take_read_seconds() { return std::exchange(read_seconds_, 0.0); }

 private:
  using Stored = std::vector<data::StoredLatents>;
  Stored cached_latents(const data::Batch& batch, const tensor::BatchDraws& images) const;
  at::Tensor latents(const data::Batch& batch, const Stored& cached, const tensor::BatchDraws& images);
  at::Tensor live_latents(const data::Batch& batch, const tensor::BatchDraws& images);
  at::Tensor mask(const data::Batch& batch, const Stored& cached, int64_t micro_step) const;
  models::TextOutputs text(const data::Batch& batch, const tensor::BatchDraws& images) const;
  void drop_encoders(models::TextOutputs& text, const tensor::BatchDraws& images) const;

  const models::ModelConfig& config_;
  const data::Dataset& dataset_;
  InputSources sources_;
  double read_seconds_ = 0;
  // What a frozen VAE says of an image does not change: about five hundred images of 1024 px.
  pipeline::RecentMoments recent_moments_{int64_t{1} << 30};
};

}  // namespace loraptor::train
