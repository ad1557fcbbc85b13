#include "models/clip_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "models/load_linear.h"

namespace loraptor::models {
namespace {

constexpr int64_t kClipHeadSize = 64;
constexpr int64_t kWidthL = 768, kWidthG = 1280;
constexpr const char* kLayers = "text_model.encoder.layers.";
constexpr const char* kTokens = "text_model.embeddings.token_embedding.weight";
constexpr const char* kPositions = "text_model.embeddings.position_embedding.weight";

/// The two encoders have the same tensor names: exchanged files would train nonsense without any other sign.
void check_not_exchanged(const PartReader& reader, int64_t width) {
  const bool is_l = reader.part() == "clip_l";
  if (width != (is_l ? kWidthG : kWidthL)) return;
  throw FileError(
      reader.path(),
      fmt::format("{}: this is the other CLIP encoder: got width {}, expected {}.\nHint: exchange the files of "
                  "--clip_l and --clip_g.",
                  reader.part(), width, is_l ? kWidthL : kWidthG));
}

}  // namespace

ClipText::ClipText(const PartReader& reader) : quick_gelu_(reader.part() == "clip_l") {
  const auto vocabulary = reader.shape(kTokens);
  if (vocabulary.size() != 2 || vocabulary[1] % kClipHeadSize != 0) {
    throw FileError(reader.path(), fmt::format("{}: tensor '{}' has the wrong shape: got [{}], expected [vocabulary, "
                                               "multiple of {}].",
                                               reader.part(), kTokens, fmt::join(vocabulary, ","), kClipHeadSize));
  }
  const int64_t width = vocabulary[1];
  check_not_exchanged(reader, width);
  token_embedding_ = reader.get(kTokens, vocabulary);
  position_embedding_ = reader.get(kPositions, {reader.shape(kPositions).at(0), width});
  const int64_t count = std::max<int64_t>(1, count_layers(reader, kLayers, ".layer_norm1.weight"));
  for (int64_t i = 0; i < count; ++i) {
    const std::string base = fmt::format("{}{}.", kLayers, i);
    const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
      return load_linear(reader, base + name, out, in);
    };
    Layer layer;
    layer.norm1 = load_layer_norm(reader, base + "layer_norm1", width);
    layer.norm2 = load_layer_norm(reader, base + "layer_norm2", width);
    layer.q = linear("self_attn.q_proj", width, width);
    layer.k = linear("self_attn.k_proj", width, width);
    layer.v = linear("self_attn.v_proj", width, width);
    layer.out = linear("self_attn.out_proj", width, width);
    layer.fc1 = linear("mlp.fc1", out_features(reader, base + "mlp.fc1"), width);
    layer.fc2 = linear("mlp.fc2", width, layer.fc1.out_features());
    layers_.push_back(std::move(layer));
  }
  final_norm_ = load_layer_norm(reader, "text_model.final_layer_norm", width);
  has_projection_ = reader.has("text_projection.weight") || !quick_gelu_;
  if (has_projection_) {
    projection_ =
        load_linear(reader, "text_projection", out_features(reader, "text_projection"), width, /*bias=*/false);
  }
}

at::Tensor ClipText::run_layer(const Layer& layer, const at::Tensor& h, const at::Tensor& allowed) const {
  const auto x = layer.norm1.forward(h);
  const auto attention =
      attend({layer.q.forward(x), layer.k.forward(x), layer.v.forward(x), width() / kClipHeadSize, allowed,
              /*causal=*/!allowed.defined(), 1.0 / std::sqrt(static_cast<double>(kClipHeadSize))});
  const auto middle = h + layer.out.forward(attention);
  const auto wide = layer.fc1.forward(layer.norm2.forward(middle));
  return middle + layer.fc2.forward(quick_gelu_ ? wide * at::sigmoid(wide * 1.702) : at::gelu(wide));
}

ClipOutput ClipText::forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask,
                             const ActivationTrace& trace) const {
  LORAPTOR_ASSERT(ids.dim() == 2 && ids.size(1) <= position_embedding_.size(0));
  const int64_t tokens = ids.size(1);
  const auto places = ids.to(device(), at::kLong);
  at::Tensor allowed;  // bool [B,1,T,T], true where a row may look at a column
  if (mask) {
    const auto causal = at::ones({tokens, tokens}, at::dtype(at::kBool).device(device())).tril();
    allowed = causal & mask->to(device()).ne(0).view({-1, 1, 1, tokens});
  }
  auto h =
      at::embedding(token_embedding_, places).to(at::kFloat) + position_embedding_.slice(0, 0, tokens).to(at::kFloat);
  if (trace) trace("embeddings", h);
  ClipOutput output;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (i + 1 == layers_.size()) output.hidden = h;
    const auto forward = [this, &layer, allowed](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
      return {run_layer(layer, in[0], allowed)};
    };
    h = runner_->run({static_cast<int64_t>(i),
                      forward,
                      {h},
                      adapter_parameters({&layer.k, &layer.v, &layer.q, &layer.out, &layer.fc1, &layer.fc2})})[0];
    if (trace) trace(fmt::format("after_layer{}", i), h);
  }
  // The end token has the highest id; argmax finds its first occurrence. [B,T,W] -> [B,W]
  const auto at_end = h.index({at::arange(ids.size(0), places.options()), places.argmax(-1)});
  const auto pooled = final_norm_.forward(at_end);
  output.pooled = has_projection_ ? projection_.forward(pooled).to(at::kFloat) : pooled;
  return output;
}

void ClipText::visit_linears(const nn::LinearVisitor& visit) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string base = fmt::format("{}{}.", kLayers, i);
    Layer& layer = layers_[i];
    visit(base + "self_attn.k_proj", layer.k);
    visit(base + "self_attn.v_proj", layer.v);
    visit(base + "self_attn.q_proj", layer.q);
    visit(base + "self_attn.out_proj", layer.out);
    visit(base + "mlp.fc1", layer.fc1);
    visit(base + "mlp.fc2", layer.fc2);
  }
}

}  // namespace loraptor::models
