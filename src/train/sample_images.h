// Sample images during training: prompts, their conditioning, file names.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/signals.h"
#include "memory/block_runner.h"
#include "pipeline/generate.h"
#include "tensor/rng.h"
#include "train/observer.h"
#include "train/train_config.h"

namespace loraptor::train {

struct SampleSetup {
  const TrainConfig& config;
  const models::MMDiT& mmdit;
  const models::Vae& vae;
  /// Outputs of the text encoders for a list of texts, without graph.
  std::function<models::TextOutputs(const std::vector<std::string>& texts)> text;
  /// The prompts read at the start; empty: the file is read anew each time (encoders that stay can encode new ones).
  std::vector<pipeline::SamplePrompt> prompts;
  tensor::CounterRng rng{0};  // seeds of prompts that have none: the same at every moment of a run
  at::Device device = at::kCPU;
};

bool wants_samples(const SampleConfig& sample);

/// <output_dir>/sample/<output_name>_<moment>_<number>_<time>_<seed>.png, with the time of now.
///   number   of the prompt in its file
///   seed     of the prompt, if it has one
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:sample_image_inference.
std::filesystem::path sample_file(const SaveConfig& saving, const std::string& moment, size_t number,
                                  std::optional<int64_t> seed);

class SampleImages {
 public:
  explicit SampleImages(SampleSetup setup) : setup_(std::move(setup)) {}

  /// Makes all images and writes them to <output_dir>/sample. An image that cannot be made or written is told and left
  /// out: it does not end the training.
  ///   moment    "e000001" or "000100": part of the file names
  ///   signals   once one came, no further sampling step is begun
  /// Returns nothing if a signal came before the last image was made; those of this moment are removed then.
  std::optional<std::vector<SampledImage>> generate(const std::string& moment, const StopSignals& signals);

 private:
  std::vector<pipeline::SamplePrompt> current_prompts() const;
  SampledImage generate_one(const pipeline::SamplePrompt& prompt, size_t number, const std::string& moment,
                            const StopSignals& signals);
  models::Conditioning conditioning(const std::string& text) const;

  SampleSetup setup_;
  memory::PlainRunner runner_;
};

/// The texts of prompts and negative prompts, for a cache.
std::vector<std::string> prompt_texts(const std::vector<pipeline::SamplePrompt>& prompts);

}  // namespace loraptor::train
