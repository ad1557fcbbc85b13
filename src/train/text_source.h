// Outputs of the text encoders for captions: from the cache, or from encoders that stay because they are trained or
// nothing is cached.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/cache_index.h"
#include "data/dataset.h"
#include "data/text_cache.h"
#include "models/model_files.h"
#include "pipeline/cache_text.h"
#include "pipeline/encode_text.h"
#include "pipeline/recent.h"
#include "train/precision.h"

namespace loraptor::train {

/// The captions of a batch, as each source of outputs knows them.
struct BatchCaptions {
  const std::vector<std::string>& live;    // transformed, for encoders that run now
  const std::vector<std::string>& cached;  // under which outputs lie in the cache
};

class TextSource {
 public:
  /// Finds the tokenizers; loads no encoder yet.
  ///   on_loaded   called whenever encoders were loaded, before they are used: adds base weights to them
  TextSource(const TrainConfig& config, const Precision& precision, models::ModelFiles& files, at::Device device,
             tensor::CounterRng rng, std::function<void()> on_loaded);

  /// Loads those of the three encoders that are not loaded.
  void load();

  /// Encodes the captions of both groups and the prompts, each once; captions to disk if `config` says so, where what
  /// is there already is used. Encoders are loaded only if something has to be encoded. Afterwards T5 is freed, and the
  /// CLIP encoders too unless they are trained (then they are loaded).
  void cache(const data::DatasetGroups& data, const std::vector<std::string>& prompts);

  /// Outputs on the training device. A full cache must hold the captions; with trained CLIP encoders only T5's part
  /// comes from the cache. Frozen encoders that run live are asked once a caption, one caption at a time, so that
  /// outputs do not depend on which captions come together.
  /// With dropout inside T5 they are asked each time.
  ///   with_grad    a training step: record the graph of trained encoders
  ///   micro_step   whose draws decide T5's dropout (see t5_dropout_rate)
  models::TextOutputs outputs(const BatchCaptions& captions, bool with_grad, int64_t micro_step);

  /// The same of prompts, without a graph.
  models::TextOutputs outputs(const std::vector<std::string>& texts) { return outputs({texts, texts}, false, 0); }

  /// The encoders, for attaching adapters; those that were freed are absent.
  pipeline::TextEncoding& encoders() { return encoding_; }
  bool is_cached() const { return cache_.has_value(); }
  int64_t clip_l_width() const { return clip_l_width_; }

 private:
  void load_clip();
  void cache_files(const data::Dataset& dataset);
  data::CacheFacts encoder_facts() const;
  data::TextRequest text_request() const;
  models::TextOutputs frozen_outputs(const std::vector<std::string>& captions);

  const TrainConfig& config_;
  const Precision precision_;
  models::ModelFiles& files_;
  at::Device device_;
  tensor::CounterRng rng_;  // dropout
  std::function<void()> on_loaded_;
  pipeline::TextEncoding encoding_;
  std::optional<pipeline::TextCache> cache_;
  pipeline::Recent<models::TextOutputs> recent_;  // of frozen encoders, on the CPU
  int64_t clip_l_width_ = 0;
};

/// Whether text encoders are trained; T5 only on request.
bool trains_text(const TrainConfig& config);
bool trains_t5(const TrainConfig& config);

/// Dropout inside a T5 that runs live: `--t5_internal_dropout` in the training steps of a T5 that is trained. With
/// `--kohya_compat t5_dropout` gradient checkpointing brings T5's own 10 % with it, in validation and samples too.
double t5_dropout_rate(const TrainConfig& config, bool is_training);

}  // namespace loraptor::train
