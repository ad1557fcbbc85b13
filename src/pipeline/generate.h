// From a prompt's conditioning to an image.
#pragma once

#include <ATen/ATen.h>

#include <functional>

#include "io/image.h"
#include "memory/block_runner.h"
#include "models/conditioning.h"
#include "models/mmdit.h"
#include "models/vae.h"
#include "pipeline/sample_prompt.h"

namespace loraptor::pipeline {

/// The models that make images. They stay the caller's.
struct GenerateModels {
  const models::MMDiT& mmdit;
  const models::Vae& vae;
  memory::BlockRunner& runner;
};

struct GenerateRequest {
  SamplePrompt prompt;                      // steps, scale and slg are used here
  models::Conditioning positive, negative;  // of one text each
  at::Tensor noise;                         // float32 [1,16,height/8,width/8]
};

/// What a finished sampling step left.
struct SampleStep {
  int64_t done;  // 1 .. steps
  int64_t steps;
  const at::Tensor& velocity;  // float32 [2,16,h,w]: positive, negative
  const at::Tensor& latents;   // float32 [1,16,h,w] after the step
};
using SampleProgress = std::function<void(const SampleStep&)>;

/// Standard normal noise for an image of a prompt's size: a pure function of the seed and the size.
/// Returns float32 [1,16,height/8,width/8].
at::Tensor sample_noise(const SamplePrompt& prompt, int64_t seed);

/// Runs the sampler: both branches in one batch, guidance, Euler steps, all in float32 around the transformer.
/// Returns latents as the transformer sees them, float32 [1,16,h,w]. Records no graph. In the steps of skip-layer
/// guidance the positive branch runs once more without the blocks. Throws UsageError for a block number beyond the
/// model's. Ref: arXiv:2403.03206 §2, arXiv:2207.12598; sd-scripts@48d368f library/sd3_train_utils.py:do_sample.
at::Tensor sample_latents(const GenerateModels& models, const GenerateRequest& request,
                          const SampleProgress& progress = {});

/// Decodes latents as the transformer sees them; the value of a byte is 255 * clamp((x + 1) / 2, 0, 1), truncated.
///   latents   [1,16,h,w]
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:sample_image_inference.
io::Image decode_image(const models::Vae& vae, const at::Tensor& latents);

/// sample_latents and decode_image.
io::Image generate_image(const GenerateModels& models, const GenerateRequest& request,
                         const SampleProgress& progress = {});

}  // namespace loraptor::pipeline
