// The validation loss: images that are not trained on, at fixed timesteps, with the same noise every time.
#pragma once

#include "base/signals.h"
#include "data/dataset.h"
#include "train/encoded_inputs.h"
#include "train/fixed_draws.h"
#include "train/train_config.h"
#include "train/train_step.h"

namespace loraptor::train {

/// Four timesteps: the inner points of six equally spaced ones over the range of training.
/// Ref: sd-scripts@48d368f train_network.py:train (validation_timesteps).
std::vector<int64_t> validation_timesteps(const flow::FlowConfig& flow);

struct ValidationLosses {
  double loss;                  // the loss of training, with the run's own settings and seed
  std::optional<double> fixed;  // with --validation_fixed_noise: comparable between runs
};

class Validation {
 public:
  /// Everything given by reference must outlive it.
  ///   dataset    the images set aside
  ///   sources    of inputs: draws from a generator of validation's own
  ///   training   what the training step works with; its draws are not touched
  Validation(const TrainConfig& config, const data::Dataset& dataset, const InputSources& sources,
             const StepContext& training);
  Validation(const Validation&) = delete;
  Validation& operator=(const Validation&) = delete;

  bool is_empty() const { return plans_.empty(); }

  /// Mean losses: of `loss` over batches and timesteps; of `fixed` over images and the timesteps of FixedDraws, as
  /// plain squared distance without weights or masks, with captions as they are stored. Draws nothing from the
  /// training streams and records no graph; the caller puts optimizer and network into evaluation mode.
  /// Returns nothing if a signal came.
  std::optional<ValidationLosses> run(const StopSignals& signals) const;

 private:
  double batch_loss(const data::Batch& batch, size_t number) const;
  double fixed_loss(const data::Batch& batch, size_t number) const;

  const data::Dataset& dataset_;
  models::ModelConfig undropped_;  // no encoder dropout
  flow::FlowConfig plain_;
  FixedDraws fixed_draws_;
  StepContext step_, fixed_step_;
  mutable EncodedInputs inputs_;
  mutable std::optional<EncodedInputs> fixed_inputs_;
  std::vector<data::BatchPlan> plans_;
};

}  // namespace loraptor::train
