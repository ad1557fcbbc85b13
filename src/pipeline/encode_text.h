// Captions to what the diffusion transformer is conditioned on.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/clip_text.h"
#include "models/conditioning.h"
#include "models/model_files.h"
#include "models/t5_encoder.h"
#include "text/tokenizer_files.h"

namespace loraptor::pipeline {

struct TextEncodingOptions {
  int64_t t5_length = 256;  // --t5xxl_max_token_length
  bool mask_clip = false;   // --apply_lg_attn_mask: padding is masked inside CLIP-L and CLIP-G
  bool mask_t5 = false;     // --apply_t5_attn_mask: the same inside T5
};

/// Token ids and masks of B captions, int64 on the CPU.
struct TokenBatch {
  at::Tensor l_ids, l_mask;    // [B,77]
  at::Tensor g_ids, g_mask;    // [B,77]
  at::Tensor t5_ids, t5_mask;  // [B,T]
};

/// The tokenizers and the text encoders that are loaded at the moment.
class TextEncoding {
 public:
  TextEncoding(text::Tokenizers tokenizers, const TextEncodingOptions& options);

  /// Reads CLIP-L and CLIP-G, or T5. Throws UsageError and FileError as ModelFiles::part and the encoders do.
  void load_clip(const models::ModelFiles& files, const models::LoadOptions& options);
  void load_t5(const models::ModelFiles& files, const models::LoadOptions& options);
  void release_clip();
  void release_t5();
  bool has_clip() const { return clip_l_.has_value(); }
  bool has_t5() const { return t5_.has_value(); }

  /// The loaded encoders, for attaching adapters.
  models::ClipText& clip_l();
  models::ClipText& clip_g();
  models::T5Encoder& t5();

  /// Warns once per encoder about captions that are cut.
  TokenBatch tokenize(const std::vector<std::string>& captions) const;

  /// Outputs of the loaded encoders, float32; fields of encoders that are not loaded stay undefined.
  ///   with_grad    whether adapters on the encoders are being trained
  ///   t5_dropout   inside T5
  /// The mask options act in every use: cached or live, training, validation and samples.
  /// Ref: sd-scripts@48d368f library/strategy_sd3.py:Sd3TextEncodingStrategy.encode_tokens.
  models::TextOutputs encode(const TokenBatch& tokens, bool with_grad,
                             const models::ActivationDropout& t5_dropout = {}) const;
  models::TextOutputs encode(const std::vector<std::string>& captions, bool with_grad,
                             const models::ActivationDropout& t5_dropout = {}) const;

  const TextEncodingOptions& options() const { return options_; }

 private:
  text::Tokenizers tokenizers_;
  TextEncodingOptions options_;
  std::optional<models::ClipText> clip_l_, clip_g_;
  std::optional<models::T5Encoder> t5_;
};

}  // namespace loraptor::pipeline
