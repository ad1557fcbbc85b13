// The transformer of Stable Diffusion 3 and 3.5: from noisy latents and text to a velocity.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/block_runner.h"
#include "models/activation_trace.h"
#include "models/checkpoint_reader.h"
#include "models/final_layer.h"
#include "models/joint_block.h"
#include "models/sd3_variant.h"
#include "nn/linear.h"
#include "nn/mlp.h"
#include "nn/module_walk.h"
#include "nn/position_embedding.h"

namespace loraptor::models {

using nn::PositionCrop;

struct MMDiTOptions {
  bool attn2_compat = false;  // second attention as the reference computes it (`--kohya_compat attn2`)
};

struct MMDiTInput {
  at::Tensor x;                       // [B,16,H,W] noisy latents, any float dtype; H and W even
  at::Tensor timesteps;               // float32 [B], 0..1000
  at::Tensor context;                 // [B,T,context_width] text tokens, any float dtype
  at::Tensor pooled;                  // [B,pooled_width], any float dtype
  std::optional<PositionCrop> crop;   // window of the position table; centred if absent
  std::vector<int64_t> skipped = {};  // blocks that are left out, for skip-layer guidance
};

/// Frozen weights in the dtype of the reader's options. Residual streams, norms, modulation sums and the condition are
/// float32; Linear outputs and attention have the weights' dtype.
class MMDiT {
 public:
  /// Throws FileError if the part is no SD3 MMDiT or lacks tensors.
  MMDiT(const PartReader& reader, const MMDiTOptions& options);

  /// Returns the velocity, float32 [B,16,H,W].
  ///   runner   decides what is kept of each block for the backward pass
  ///   trace    called with intermediate results; a diagnostic: temb_sincos, t_emb, y_emb, context_emb, x_patch, pos,
  ///            block<i>.x, block<i>.context, final
  /// The model must outlive the backward pass. Throws UsageError if H or W is odd or the position table too small.
  /// Ref: sd-scripts@48d368f library/sd3_models.py:MMDiT.forward.
  at::Tensor forward(const MMDiTInput& input, memory::BlockRunner& runner,
                     const ActivationTrace* trace = nullptr) const;

  const Sd3Variant& variant() const { return variant_; }
  at::ScalarType compute_dtype() const { return x_embedder_.compute_dtype(); }
  at::Device device() const { return x_embedder_.device(); }

  /// Blocks ascending, text side before image side, then the layers outside of the blocks.
  void visit_linears(const nn::LinearVisitor& visit);

  /// Moves the model to another device, where it computes in `compute`.
  ///   source_of   gives the source of a layer's weight by its path; an empty one: the weight moves too
  void move_to(at::Device device, at::ScalarType compute,
               const std::function<nn::WeightSource(const std::string& path, nn::Linear& layer)>& source_of);

  /// Replaces the stored position table (`--enable_scaled_pos_embed`).
  void use_scaled_positions(nn::ScaledPositions positions);

  /// Cells a side of the table that positions of latents [..,height,width] come from: a random crop has
  /// `side - height/2 + 1` places for its upper edge.
  int64_t position_side(int64_t height, int64_t width) const;

 private:
  at::Tensor embed_condition(const MMDiTInput& input, const ActivationTrace& trace) const;
  at::Tensor embed_image(const MMDiTInput& input, const ActivationTrace& trace) const;
  Streams run_block(size_t index, const Streams& in, const at::Tensor& condition, memory::BlockRunner& runner) const;
  at::Tensor positions(int64_t rows, int64_t columns, std::optional<PositionCrop> crop) const;

  Sd3Variant variant_;
  nn::Linear x_embedder_, context_embedder_;
  nn::SiluMlp t_embedder_, y_embedder_;
  at::Tensor position_table_;  // as in the file, on the CPU
  std::unique_ptr<nn::ScaledPositions> scaled_positions_;
  std::vector<JointBlock> blocks_;
  FinalLayer final_layer_;
};

}  // namespace loraptor::models
