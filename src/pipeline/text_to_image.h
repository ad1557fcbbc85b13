// Images from a checkpoint and LoRAs, as a training run's samples are made, with each model loaded only while it works.
#pragma once

#include <functional>
#include <vector>

#include "io/image.h"
#include "models/model_config.h"
#include "network/lora_concat.h"
#include "pipeline/sample_prompt.h"

namespace loraptor::pipeline {

struct TextToImage {
  models::ModelConfig model;                 // files, lengths and masks
  std::vector<network::WeightedLora> loras;  // may be empty
  at::ScalarType dtype = at::kFloat;         // of all models
  at::ScalarType vae_dtype = at::kFloat;
  at::Device device = at::kCPU;
};

/// Called with each finished image, in the order of the prompts.
using ImageSink = std::function<void(size_t number, const io::Image& image)>;

/// Encodes all prompts (CLIP-L and CLIP-G, then T5, each freed before the next is read), then reads the VAE and the
/// MMDiT and makes the images. LoRAs act on the encoders too, where they have modules for them.
///   prompts   each with its seed
/// Throws UsageError and FileError as models::ModelFiles and the LoRA modules do.
void text_to_images(const TextToImage& job, const std::vector<SamplePrompt>& prompts, const ImageSink& sink);

}  // namespace loraptor::pipeline
