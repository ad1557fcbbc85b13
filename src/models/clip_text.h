// The CLIP text encoders CLIP-L and CLIP-G.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <vector>

#include "memory/block_runner.h"
#include "models/activation_trace.h"
#include "models/checkpoint_reader.h"
#include "models/encoder_blocks.h"
#include "nn/module_walk.h"

namespace loraptor::models {

struct ClipOutput {
  at::Tensor hidden;  // float32 [B,77,W] after the second-to-last layer, without the final norm
  at::Tensor pooled;  // float32 [B,P] final norm at the first end token, projected
};

/// A CLIP text model with projection. Sizes come from the tensors; heads have 64 channels. The part's name decides the
/// activation: quick-GELU for clip_l, exact GELU for clip_g. Matrix products run in the load dtype; the residual
/// stream, norms and softmax statistics are float32. There is no dropout.
/// Ref: arXiv:2103.00020 §2.4; sd-scripts@48d368f library/sd3_utils.py:load_clip_l, load_clip_g; transformers 4.54
/// modeling_clip.py:CLIPTextModelWithProjection.
class ClipText {
 public:
  /// Throws FileError for missing tensors and wrong shapes. A CLIP-L without text_projection gets the identity.
  explicit ClipText(const PartReader& reader);

  /// ids    int64 [B,T], T at most 77
  /// mask   [B,T], 0 where padding must not be attended to; nullopt: everything is attended to (causally)
  /// trace  embeddings, after_layer0, after_layer1 ...
  ClipOutput forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask,
                     const ActivationTrace& trace = {}) const;

  /// The layers of attention and MLP: text_model.encoder.layers.<i>.self_attn.{k,v,q,out}_proj, .mlp.{fc1,fc2}.
  /// (text_projection is no layer that adapters are meant for.)
  void visit_linears(const nn::LinearVisitor& visit);

  /// Who runs the layers; PlainRunner until told otherwise.
  void set_runner(std::shared_ptr<memory::BlockRunner> runner) { runner_ = std::move(runner); }

  int64_t width() const { return token_embedding_.size(1); }
  at::Device device() const { return token_embedding_.device(); }

 private:
  struct Layer {
    EncoderNorm norm1, norm2;
    nn::Linear q, k, v, out, fc1, fc2;
  };

  at::Tensor run_layer(const Layer& layer, const at::Tensor& h, const at::Tensor& allowed) const;

  bool quick_gelu_;
  at::Tensor token_embedding_;     // [vocabulary,W]
  at::Tensor position_embedding_;  // [77,W]
  std::vector<Layer> layers_;
  EncoderNorm final_norm_;
  nn::Linear projection_;
  bool has_projection_;
  std::shared_ptr<memory::BlockRunner> runner_ = std::make_shared<memory::PlainRunner>();
};

}  // namespace loraptor::models
