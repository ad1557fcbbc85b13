// One micro-step up to its loss: noise, forward, loss.
#pragma once

#include <ATen/ATen.h>

#include "flow/flow_config.h"
#include "memory/block_runner.h"
#include "models/conditioning.h"
#include "models/mmdit.h"
#include "network/network.h"
#include "tensor/rng.h"

namespace loraptor::train {

/// What stays the same over all steps.
struct StepContext {
  const flow::FlowConfig& flow;
  const models::MMDiT& mmdit;
  memory::BlockRunner& runner;
  network::Network& network;  // switched off for the prior of diff_output_preservation
  tensor::DrawSource& draws;
  double position_crop_rate;      // probability of a random position window
  const tensor::CounterRng& rng;  // draws the position window
  at::ScalarType timestep_dtype;  // float32; the compute dtype with `--kohya_compat timesteps`
};

/// One batch, encoded.
struct StepInputs {
  at::Tensor latents;  // float32 [B,16,h,w], shifted and scaled
  models::Conditioning conditioning;
  at::Tensor loss_weights;               // float32 [B]
  at::Tensor mask;                       // float32 [B,H,W], or undefined
  std::vector<uint8_t> preserve_output;  // 1: the target is what the model predicts without the network
  tensor::BatchDraws images;             // identifies the batch to the draw source
};

/// The loss of a batch.
struct StepLoss {
  at::Tensor mean;       // float32 scalar, with its graph
  at::Tensor samples;    // float32 [B], what it is the mean of; without a graph
  at::Tensor timesteps;  // [B], 0 .. 1000
};

/// Draws noise and timesteps, runs the model and forms the loss.
/// Ref: arXiv:2403.03206 section 3; sd-scripts@48d368f train_network.py:process_batch.
StepLoss training_loss(const StepContext& context, const StepInputs& inputs);

}  // namespace loraptor::train
