// One block of the MMDiT: text and image tokens, each with weights of their own, attend to each other.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "kernels/split_heads.h"
#include "models/checkpoint_reader.h"
#include "models/sd3_variant.h"
#include "nn/linear.h"
#include "nn/mlp.h"
#include "nn/module_walk.h"

namespace loraptor::models {

/// The layers of one attention of one side.
struct AttentionLayers {
  nn::Linear qkv;
  std::optional<nn::Linear> proj;  // none on the text side of the last block
  at::Tensor ln_q, ln_k;           // float32 [64], or undefined

  /// Reads `name`.qkv, .proj, .ln_q, .ln_k.
  AttentionLayers(const PartReader& reader, const std::string& name, const Sd3Variant& variant, bool with_proj);

  /// x [B,L,D] -> queries, keys and values before they are cut into heads.
  kernels::QkvSource source(const at::Tensor& x) const { return {qkv.forward(x), ln_q, ln_k, proj.has_value()}; }
};

/// The layers of one side (text or image) of a block.
struct BlockSide {
  AttentionLayers attn;
  std::optional<AttentionLayers> attn2;  // image side of dual blocks: image tokens among themselves
  std::optional<nn::GeluMlp> mlp;        // none on the text side of the last block
  nn::Linear modulation;                 // D -> (shift, scale, gate) of attention, MLP and second attention

  BlockSide(const PartReader& reader, const std::string& name, const Sd3Variant& variant, bool pre_only, bool dual);
};

/// What flows from block to block.
struct Streams {
  at::Tensor x;        // float32 [B,N,D] image tokens
  at::Tensor context;  // float32 [B,T,D] text tokens; undefined after the last block
};

class JointBlock {
 public:
  /// attn2_compat   second attention in 64 heads of D/64 channels, as the reference computes it
  JointBlock(const PartReader& reader, int64_t index, const Sd3Variant& variant, bool attn2_compat);

  ///   condition   float32 [B,D]: SiLU of timestep plus pooled text embedding
  /// Ref: arXiv:2403.03206 §4, fig. 2b; sd-scripts@48d368f library/sd3_models.py:MMDiTBlock.
  Streams forward(const Streams& in, const at::Tensor& condition) const;

  /// The last block has no text output.
  bool is_last() const { return !context_.mlp.has_value(); }

  /// Text side before image side.
  void visit_linears(const std::string& prefix, const nn::LinearVisitor& visit);

  /// Moves what is no linear layer.
  void move_norms_to(at::Device device);

  /// Trainable tensors of the adapters attached now.
  std::vector<at::Tensor> parameters() const;

 private:
  at::Tensor second_attention(const at::Tensor& x) const;

  int64_t heads_;
  bool attn2_compat_;
  BlockSide context_, x_;
};

}  // namespace loraptor::models
