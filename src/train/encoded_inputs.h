// From a loaded batch to what the model reads: latents and conditioning, cached or encoded now.
#pragma once

#include <functional>
#include <vector>

#include "data/batch.h"
#include "models/model_config.h"
#include "models/vae.h"
#include "pipeline/cache_latents.h"
#include "pipeline/cache_text.h"
#include "train/replay.h"
#include "train/train_step.h"

namespace loraptor::train {

/// Where latents and conditioning come from; session.cpp fills it in.
struct InputSources {
  const models::Vae* vae = nullptr;                               // encodes live; null when latents are cached
  int64_t vae_batch_size = 1;                                     // images per live VAE call
  const std::vector<pipeline::CachedLatents>* latents = nullptr;  // by image number
  /// Text-encoder outputs of a batch's captions, with their graph where encoders are trained.
  std::function<models::TextOutputs(const std::vector<std::string>& captions)> text;
  bool text_uses_stored_captions = false;  // a full cache holds captions as stored, before transforms
  int64_t clip_l_width = 0;                // channels of CLIP-L in lg_out and lg_pooled
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

 private:
  at::Tensor latents(const data::Batch& batch, const tensor::BatchDraws& images) const;
  at::Tensor live_latents(const data::Batch& batch, const tensor::BatchDraws& images) const;
  at::Tensor mask(const data::Batch& batch, int64_t micro_step) const;
  models::TextOutputs text(const data::Batch& batch, const tensor::BatchDraws& images) const;
  void drop_encoders(models::TextOutputs& text, const tensor::BatchDraws& images) const;

  const models::ModelConfig& config_;
  const data::Dataset& dataset_;
  InputSources sources_;
};

}  // namespace loraptor::train
