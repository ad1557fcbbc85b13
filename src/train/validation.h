// The validation loss: images that are not trained on, at fixed timesteps, with the same noise every time.
#pragma once

#include "data/dataset.h"
#include "train/encoded_inputs.h"
#include "train/train_step.h"

namespace loraptor::train {

/// Four timesteps: the inner points of six equally spaced ones over the range of training.
/// Ref: sd-scripts@48d368f train_network.py:train (validation_timesteps).
std::vector<int64_t> validation_timesteps(const flow::FlowConfig& flow);

class Validation {
 public:
  /// dataset     the images set aside
  /// inputs      encodes them; its draws and those of `step` come from a generator of validation's own
  /// max_steps   batches of one run, or unset for all
  Validation(const data::Dataset& dataset, EncodedInputs& inputs, StepContext step, std::optional<int64_t> max_steps);

  /// Mean loss over batches and timesteps. Draws nothing from the training streams and records no graph; the caller
  /// puts optimizer and network into evaluation mode.
  double run() const;

 private:
  const data::Dataset& dataset_;
  EncodedInputs& inputs_;
  StepContext step_;
  std::vector<data::BatchPlan> plans_;
};

}  // namespace loraptor::train
