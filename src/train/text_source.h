// Outputs of the text encoders for captions: from the cache, or from encoders that stay because they are trained or
// nothing is cached.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/model_files.h"
#include "pipeline/cache_text.h"
#include "pipeline/encode_text.h"
#include "train/precision.h"

namespace loraptor::train {

class TextSource {
 public:
  /// Finds the tokenizers and loads all three encoders.
  TextSource(const TrainConfig& config, const Precision& precision, const models::ModelFiles& files, at::Device device);

  /// Encodes every caption once, then frees T5, and the CLIP encoders too unless they are trained.
  void cache(const std::vector<std::string>& captions);

  /// Outputs on the training device. A full cache must hold the captions; with trained CLIP encoders only T5's part
  /// comes from the cache.
  ///   with_grad   record the graph of trained encoders
  models::TextOutputs outputs(const std::vector<std::string>& captions, bool with_grad) const;

  /// The encoders, for attaching adapters; those that were freed are absent.
  pipeline::TextEncoding& encoders() { return encoding_; }
  bool is_cached() const { return cache_.has_value(); }
  int64_t clip_l_width() const { return clip_l_width_; }

 private:
  const TrainConfig& config_;
  at::Device device_;
  pipeline::TextEncoding encoding_;
  std::optional<pipeline::TextCache> cache_;
  at::ScalarType cache_dtype_;
  int64_t clip_l_width_ = 0;
};

/// Whether text encoders are trained; T5 only on request.
bool trains_text(const TrainConfig& config);
bool trains_t5(const TrainConfig& config);

}  // namespace loraptor::train
