#include "make_checkpoint/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"

namespace loraptor::tools {
namespace {

using nlohmann::json;

class Shapes {
 public:
  void add(const std::string& name, Shape shape) { all_.emplace_back(name, std::move(shape)); }
  void linear(const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void convolution(const std::string& name, int64_t out, int64_t in, int64_t side) {
    add(name + ".weight", {out, in, side, side});
    add(name + ".bias", {out});
  }
  void norm(const std::string& name, int64_t channels) {
    add(name + ".weight", {channels});
    add(name + ".bias", {channels});
  }
  NamedShapes take() { return std::move(all_); }

 private:
  NamedShapes all_;
};

void attention(Shapes& s, const std::string& name, int64_t width, bool with_projection, bool qk_norm) {
  s.linear(name + ".qkv", 3 * width, width);
  if (with_projection) s.linear(name + ".proj", width, width);
  if (qk_norm) {
    s.add(name + ".ln_q.weight", {64});
    s.add(name + ".ln_k.weight", {64});
  }
}

NamedShapes mmdit(const json& model) {
  const json& sizes = model.at("mmdit");
  const int64_t depth = sizes.at("depth"), width = 64 * depth, side = sizes.at("pos_side");
  const int64_t context = model.at("t5xxl").at("width");
  const int64_t pooled = model.at("clip_l").at("width").get<int64_t>() + model.at("clip_g").at("width").get<int64_t>();
  const bool qk_norm = sizes.at("qk_norm");
  const auto dual = sizes.at("dual_blocks").get<std::set<int64_t>>();
  Shapes s;
  s.add("pos_embed", {1, side * side, width});
  s.convolution("x_embedder.proj", width, 16, 2);
  s.linear("t_embedder.mlp.0", width, 256);
  s.linear("t_embedder.mlp.2", width, width);
  s.linear("y_embedder.mlp.0", width, pooled);
  s.linear("y_embedder.mlp.2", width, width);
  s.linear("context_embedder", width, context);
  for (int64_t i = 0; i < depth; ++i) {
    for (const char* block_side : {"context_block", "x_block"}) {
      const std::string block = fmt::format("joint_blocks.{}.{}", i, block_side);
      const bool is_context = block_side == std::string("context_block");
      const bool pre_only = is_context && i == depth - 1, has_second = !is_context && dual.count(i) != 0;
      attention(s, block + ".attn", width, !pre_only, qk_norm);
      if (has_second) attention(s, block + ".attn2", width, true, qk_norm);
      if (!pre_only) {
        s.linear(block + ".mlp.fc1", 4 * width, width);
        s.linear(block + ".mlp.fc2", width, 4 * width);
      }
      s.linear(block + ".adaLN_modulation.1", (pre_only ? 2 : has_second ? 9 : 6) * width, width);
    }
  }
  s.linear("final_layer.linear", 64, width);
  s.linear("final_layer.adaLN_modulation.1", 2 * width, width);
  return s.take();
}

NamedShapes clip(const json& sizes) {
  const int64_t width = sizes.at("width"), layers = sizes.at("layers");
  Shapes s;
  s.add("text_model.embeddings.token_embedding.weight", {49408, width});
  s.add("text_model.embeddings.position_embedding.weight", {77, width});
  s.add("text_projection.weight", {width, width});
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("text_model.encoder.layers.{}", i);
    for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"})
      s.linear(layer + ".self_attn." + name, width, width);
    s.linear(layer + ".mlp.fc1", 4 * width, width);
    s.linear(layer + ".mlp.fc2", width, 4 * width);
    s.norm(layer + ".layer_norm1", width);
    s.norm(layer + ".layer_norm2", width);
  }
  s.norm("text_model.final_layer_norm", width);
  return s.take();
}

NamedShapes t5(const json& sizes) {
  const int64_t width = sizes.at("width"), heads = sizes.at("heads"), inner = 64 * heads, ff = sizes.at("ff");
  Shapes s;
  s.add("shared.weight", {32128, width});
  for (int64_t i = 0; i < sizes.at("layers").get<int64_t>(); ++i) {
    const std::string block = fmt::format("encoder.block.{}.layer", i);
    for (const char* name : {"q", "k", "v"})
      s.add(fmt::format("{}.0.SelfAttention.{}.weight", block, name), {inner, width});
    s.add(block + ".0.SelfAttention.o.weight", {width, inner});
    if (i == 0) s.add(block + ".0.SelfAttention.relative_attention_bias.weight", {32, heads});
    s.add(block + ".0.layer_norm.weight", {width});
    s.add(block + ".1.DenseReluDense.wi_0.weight", {ff, width});
    s.add(block + ".1.DenseReluDense.wi_1.weight", {ff, width});
    s.add(block + ".1.DenseReluDense.wo.weight", {width, ff});
    s.add(block + ".1.layer_norm.weight", {width});
  }
  s.add("encoder.final_layer_norm.weight", {width});
  return s.take();
}

void residual(Shapes& s, const std::string& name, int64_t in, int64_t out) {
  s.norm(name + ".norm1", in);
  s.convolution(name + ".conv1", out, in, 3);
  s.norm(name + ".norm2", out);
  s.convolution(name + ".conv2", out, out, 3);
  if (in != out) s.convolution(name + ".nin_shortcut", out, in, 1);
}

void middle(Shapes& s, const std::string& name, int64_t channels) {
  residual(s, name + ".block_1", channels, channels);
  s.norm(name + ".attn_1.norm", channels);
  for (const char* part : {"q", "k", "v", "proj_out"}) s.convolution(name + ".attn_1." + part, channels, channels, 1);
  residual(s, name + ".block_2", channels, channels);
}

NamedShapes vae(const json& sizes) {
  constexpr std::array<int64_t, 4> kMultipliers = {1, 2, 4, 4};
  const int64_t base = sizes.at("ch");
  Shapes s;
  s.convolution("encoder.conv_in", base, 3, 3);
  int64_t channels = base;
  for (size_t level = 0; level < kMultipliers.size(); ++level) {
    for (int b = 0; b < 2; ++b) {
      residual(s, fmt::format("encoder.down.{}.block.{}", level, b), channels, base * kMultipliers[level]);
      channels = base * kMultipliers[level];
    }
    if (level + 1 < kMultipliers.size()) {
      s.convolution(fmt::format("encoder.down.{}.downsample.conv", level), channels, channels, 3);
    }
  }
  middle(s, "encoder.mid", channels);
  s.norm("encoder.norm_out", channels);
  s.convolution("encoder.conv_out", 32, channels, 3);
  s.convolution("decoder.conv_in", channels, 16, 3);
  middle(s, "decoder.mid", channels);
  for (size_t level = kMultipliers.size(); level-- > 0;) {
    for (int b = 0; b < 3; ++b) {
      residual(s, fmt::format("decoder.up.{}.block.{}", level, b), channels, base * kMultipliers[level]);
      channels = base * kMultipliers[level];
    }
    if (level != 0) s.convolution(fmt::format("decoder.up.{}.upsample.conv", level), channels, channels, 3);
  }
  s.norm("decoder.norm_out", channels);
  s.convolution("decoder.conv_out", 3, channels, 3);
  return s.take();
}

}  // namespace

NamedShapes part_shapes(const json& model, const std::string& part) {
  if (part == "mmdit") return mmdit(model);
  if (part == "vae") return vae(model.at("vae"));
  if (part == "t5xxl") return t5(model.at("t5xxl"));
  LORAPTOR_ASSERT(part == "clip_l" || part == "clip_g");
  return clip(model.at(part));
}

json builtin_model(const std::string& name) {
  static const json models = json::parse(R"({
    "demo": {"seed": "demo", "mmdit": {"depth": 4, "qk_norm": true, "dual_blocks": [0, 1], "pos_side": 64},
      "clip_l": {"width": 128, "layers": 3}, "clip_g": {"width": 192, "layers": 3},
      "t5xxl": {"width": 384, "layers": 2, "heads": 4, "ff": 512}, "vae": {"ch": 32}},
    "sd3-medium": {"seed": "sd3-medium", "mmdit": {"depth": 24, "qk_norm": false, "dual_blocks": [], "pos_side": 192}},
    "sd3.5-medium": {"seed": "sd3.5-medium", "mmdit": {"depth": 24, "qk_norm": true,
      "dual_blocks": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "pos_side": 384}},
    "sd3.5-large": {"seed": "sd3.5-large", "mmdit": {"depth": 38, "qk_norm": true, "dual_blocks": [], "pos_side": 192}}
  })");
  if (!models.contains(name)) return nullptr;
  json model = models[name];
  if (!model.contains("vae")) {  // the full-size models share encoders and VAE
    model.update(json::parse(R"({"clip_l": {"width": 768, "layers": 12}, "clip_g": {"width": 1280, "layers": 32},
      "t5xxl": {"width": 4096, "layers": 24, "heads": 64, "ff": 10240}, "vae": {"ch": 128}})"));
  }
  return model;
}

}  // namespace loraptor::tools
