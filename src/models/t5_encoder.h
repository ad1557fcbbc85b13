// The encoder half of T5 v1.1 (T5-XXL).
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <vector>

#include "memory/block_runner.h"
#include "models/activation_dropout.h"
#include "models/activation_trace.h"
#include "models/checkpoint_reader.h"
#include "models/encoder_blocks.h"
#include "nn/module_walk.h"

namespace loraptor::models {

/// Sizes come from the tensors; block 0's table of relative positions gives the number of heads and serves all blocks.
/// Matrix products run in the load dtype (float16 is safe: what overflows there is scaled down before and up after);
/// the residual stream, norms and softmax statistics are float32. Weights are converted one tensor at a time while
/// they are read, so they are never in memory twice.
/// Ref: arXiv:1910.10683, arXiv:2002.05202 (gated GELU); sd-scripts@48d368f library/sd3_utils.py:load_t5xxl;
/// transformers 4.54 modeling_t5.py:T5EncoderModel.
class T5Encoder {
 public:
  /// Throws FileError for missing tensors and wrong shapes.
  explicit T5Encoder(const PartReader& reader);

  /// ids      int64 [B,T]
  /// mask     [B,T], 0 where padding must not be attended to; nullopt: everything is attended to
  /// trace    embeddings, after_layer0 ...
  /// dropout  acts, as in transformers' training mode, on embeddings, attention weights, the product of the gated MLP,
  ///          what each sublayer adds, and the output
  /// Returns float32 [B,T,W], after the final norm.
  at::Tensor forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask, const ActivationTrace& trace = {},
                     const ActivationDropout& dropout = {}) const;

  /// encoder.block.<i>.layer.0.SelfAttention.{q,k,v,o}, .layer.1.DenseReluDense.{wi_0,wi_1,wo}.
  void visit_linears(const nn::LinearVisitor& visit);

  /// Who runs the blocks; PlainRunner until told otherwise.
  void set_runner(std::shared_ptr<memory::BlockRunner> runner) { runner_ = std::move(runner); }

  int64_t width() const { return embedding_.size(1); }
  at::Device device() const { return embedding_.device(); }

 private:
  struct Block {
    EncoderNorm norm1, norm2;
    nn::Linear q, k, v, o, wi_0, wi_1, wo;
  };

  at::Tensor run_block(int64_t number, const at::Tensor& h, const at::Tensor& bias,
                       const ActivationDropout& dropout) const;
  at::Tensor attention_bias(int64_t tokens, const std::optional<at::Tensor>& mask) const;

  at::Tensor embedding_;      // [vocabulary,W]
  at::Tensor position_bias_;  // [buckets,h]
  std::vector<Block> blocks_;
  EncoderNorm final_norm_;
  std::shared_ptr<memory::BlockRunner> runner_ = std::make_shared<memory::PlainRunner>();
};

/// The bucket of each pair of positions: int64 [T,T], row = query, column = key.
///   buckets   half of them for keys before the query; of each half, half are exact and half logarithmic up to 128
/// Ref: arXiv:1910.10683 §2.1; transformers 4.54 modeling_t5.py:T5Attention._relative_position_bucket.
at::Tensor relative_position_buckets(int64_t tokens, int64_t buckets);

}  // namespace loraptor::models
