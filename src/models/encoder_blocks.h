// What the text encoders share: norms, attention over heads, counting layers.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "models/checkpoint_reader.h"
#include "nn/linear.h"

namespace loraptor::models {

/// LayerNorm with weight and bias, or (without bias) the RMS norm; both computed in float32.
struct EncoderNorm {
  at::Tensor weight;  // [D] float32
  at::Tensor bias;    // [D] float32, undefined for the RMS norm
  double eps;

  /// x [..,D] -> float32 [..,D].
  at::Tensor forward(const at::Tensor& x) const;
};

/// Reads `name`.weight (and .bias) of `width` elements in float32, whatever the load dtype.
EncoderNorm load_layer_norm(const PartReader& reader, const std::string& name, int64_t width);
EncoderNorm load_rms_norm(const PartReader& reader, const std::string& name, int64_t width, double eps);

/// Output channels of the layer `name`, as stored. Throws FileError if its weight is missing or no matrix.
int64_t out_features(const PartReader& reader, const std::string& name);

struct AttentionInputs {
  at::Tensor q, k, v;  // [B,T,D] in the compute dtype
  int64_t heads;
  at::Tensor bias;          // bool (true: may attend) or added to the scores, broadcast to [B,h,T,T]; undefined: none
  bool causal;              // only without bias
  double scale;             // factor of q k^T
  at::Tensor dropout = {};  // float32 [B,h,T,T], what the softmax is multiplied with; undefined: nothing
};

/// Attention over heads -> [B,T,D].
at::Tensor attend(const AttentionInputs& inputs);

/// The trainable tensors of the adapters on `layers`.
std::vector<at::Tensor> adapter_parameters(const std::vector<const nn::Linear*>& layers);

/// How many of the tensors `before`0`after`, `before`1`after`, ... there are in a row.
int64_t count_layers(const PartReader& reader, const std::string& before, const std::string& after);

}  // namespace loraptor::models
