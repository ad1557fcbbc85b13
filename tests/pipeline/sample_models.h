// The models of a golden checkpoint, as sampling needs them.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "models/model_files.h"
#include "pipeline/encode_text.h"
#include "support/golden.h"

namespace loraptor::test {

inline models::ModelFiles golden_model_files(const std::string& model) {
  const auto folder = golden_checkpoint(model);
  models::ModelConfig config;
  config.pretrained_model_name_or_path = folder / "mmdit_vae.safetensors";
  config.clip_l = folder / "clip_l.safetensors";
  config.clip_g = folder / "clip_g.safetensors";
  config.t5xxl = folder / "t5xxl.safetensors";
  return models::ModelFiles::open(config);
}

/// All three encoders, or nullopt where no vocabularies are installed.
inline std::optional<pipeline::TextEncoding> golden_text_encoding(const std::string& model,
                                                                  const pipeline::TextEncodingOptions& options) {
  try {
    pipeline::TextEncoding encoding(text::load_tokenizers(text::default_tokenizer_search()), options);
    const auto files = golden_model_files(model);
    encoding.load_clip(files, {});
    encoding.load_t5(files, {});
    return encoding;
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

/// A golden metadata text that holds a number.
template <class Number>
Number metadata_number(const GoldenFile& file, const std::string& name) {
  return file.metadata(name).get<Number>();
}

}  // namespace loraptor::test
