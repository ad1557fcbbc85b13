#include "models/encoder_blocks.h"

#include <fmt/format.h>

#include "base/error.h"

namespace loraptor::models {

at::Tensor EncoderNorm::forward(const at::Tensor& x) const {
  const auto wide = x.to(weight.scalar_type());
  if (bias.defined()) return at::layer_norm(wide, weight.sizes(), weight, bias, eps);
  return wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps) * weight;
}

EncoderNorm load_layer_norm(const PartReader& reader, const std::string& name, int64_t width) {
  const PartReader wide = reader.as(at::kFloat);
  return {wide.get(name + ".weight", {width}), wide.get(name + ".bias", {width}), 1e-5};
}

EncoderNorm load_rms_norm(const PartReader& reader, const std::string& name, int64_t width, double eps) {
  return {reader.as(at::kFloat).get(name + ".weight", {width}), {}, eps};
}

int64_t out_features(const PartReader& reader, const std::string& name) {
  const auto& shape = reader.shape(name + ".weight");
  if (shape.size() == 2) return shape[0];
  throw FileError(reader.path(), fmt::format("{}: tensor '{}.weight' has the wrong shape: got {} axes, expected 2.",
                                             reader.part(), name, shape.size()));
}

at::Tensor attend(const AttentionInputs& inputs) {
  const auto split = [&](const at::Tensor& x) {  // [B,T,D] -> [B,h,T,D/h]
    return x.view({x.size(0), x.size(1), inputs.heads, -1}).transpose(1, 2);
  };
  if (inputs.dropout.defined()) {
    LORAPTOR_ASSERT(!inputs.causal && inputs.bias.defined() && at::isFloatingType(inputs.bias.scalar_type()));
    const auto scores = at::matmul(split(inputs.q), split(inputs.k).transpose(2, 3)) * inputs.scale + inputs.bias;
    const auto weights = at::softmax(scores, -1, at::kFloat) * inputs.dropout.to(scores.device());  // [B,h,T,T]
    return at::matmul(weights.to(inputs.v.scalar_type()), split(inputs.v)).transpose(1, 2).flatten(2);
  }
  const auto bias = inputs.bias.defined() ? std::optional<at::Tensor>(inputs.bias) : std::nullopt;
  const auto out = at::scaled_dot_product_attention(split(inputs.q), split(inputs.k), split(inputs.v), bias,
                                                    /*dropout_p=*/0.0, inputs.causal, inputs.scale);
  return out.transpose(1, 2).flatten(2);  // [B,h,T,D/h] -> [B,T,D]
}

std::vector<at::Tensor> adapter_parameters(const std::vector<const nn::Linear*>& layers) {
  std::vector<at::Tensor> parameters;
  for (const nn::Linear* layer : layers) {
    if (layer->adapter() == nullptr) continue;
    const auto own = layer->adapter()->parameters();
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  return parameters;
}

int64_t count_layers(const PartReader& reader, const std::string& before, const std::string& after) {
  int64_t count = 0;
  while (reader.has(fmt::format("{}{}{}", before, count, after))) ++count;
  return count;
}

}  // namespace loraptor::models
