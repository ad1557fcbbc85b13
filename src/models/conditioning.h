// What the text encoders say, put together as the diffusion transformer reads it.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::models {

/// Outputs of the encoders for B captions, as the caches keep them.
struct TextOutputs {
  at::Tensor lg_out;     // [B,77,L+G] CLIP-L and CLIP-G side by side
  at::Tensor t5_out;     // [B,T,C]
  at::Tensor lg_pooled;  // [B,L+G]
};

struct Conditioning {
  at::Tensor context;  // float32 [B,77+T,C]
  at::Tensor pooled;   // float32 [B,L+G]
};

/// CLIP tokens are padded with zeros to T5's width and put before the T5 tokens. Any dtype becomes float32.
/// Ref: arXiv:2403.03206 §4; sd-scripts@48d368f library/strategy_sd3.py:concat_encodings.
Conditioning assemble_conditioning(const TextOutputs& text);

/// `first` and then `second` along the batch; the shorter T5 part is padded with zero tokens.
Conditioning join_batch(const Conditioning& first, const Conditioning& second);

}  // namespace loraptor::models
