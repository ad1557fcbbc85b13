#include "synthetic_targets.h"

namespace loraptor::test {

using network::TargetModel;

void add_mmdit(SyntheticModel& model, const MmditShape& shape) {
  const int64_t d = shape.width;
  const auto add = [&](const std::string& path, int64_t in, int64_t out) {
    model.add(TargetModel::mmdit, path, in, out);
  };
  model.add_weight(TargetModel::mmdit, "x_embedder.proj", at::zeros({1}).expand({d, 16, 2, 2}));
  add("t_embedder.mlp.0", 256, d);
  add("t_embedder.mlp.2", d, d);
  add("y_embedder.mlp.0", shape.pooled, d);
  add("y_embedder.mlp.2", d, d);
  add("context_embedder", shape.context, d);
  for (int64_t i = 0; i < shape.depth; ++i) {
    for (const std::string side : {"context_block", "x_block"}) {
      const std::string block = fmt::format("joint_blocks.{}.{}.", i, side);
      const bool last_context = side == "context_block" && i + 1 == shape.depth;
      const bool dual = side == "x_block" && i < shape.dual_blocks;
      add(block + "attn.qkv", d, 3 * d);
      if (!last_context) add(block + "attn.proj", d, d);
      if (dual) add(block + "attn2.qkv", d, 3 * d);
      if (dual) add(block + "attn2.proj", d, d);
      if (!last_context) add(block + "mlp.fc1", d, 4 * d);
      if (!last_context) add(block + "mlp.fc2", 4 * d, d);
      add(block + "adaLN_modulation.1", d, (last_context ? 2 : dual ? 9 : 6) * d);
    }
  }
  add("final_layer.linear", d, 64);
  add("final_layer.adaLN_modulation.1", d, 2 * d);
}

void add_clip(SyntheticModel& model, TargetModel which, int64_t width, int64_t layers) {
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("text_model.encoder.layers.{}.", i);
    for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      model.add(which, layer + "self_attn." + name, width, width);
    }
    model.add(which, layer + "mlp.fc1", width, 4 * width);
    model.add(which, layer + "mlp.fc2", 4 * width, width);
  }
  model.add(which, "text_projection", width, width);
}

void add_t5(SyntheticModel& model, int64_t width, int64_t inner, int64_t ff, int64_t layers) {
  for (int64_t i = 0; i < layers; ++i) {
    const std::string block = fmt::format("encoder.block.{}.layer.", i);
    for (const char* name : {"q", "k", "v"})
      model.add(TargetModel::t5, block + "0.SelfAttention." + name, width, inner);
    model.add(TargetModel::t5, block + "0.SelfAttention.o", inner, width);
    model.add(TargetModel::t5, block + "1.DenseReluDense.wi_0", width, ff);
    model.add(TargetModel::t5, block + "1.DenseReluDense.wi_1", width, ff);
    model.add(TargetModel::t5, block + "1.DenseReluDense.wo", ff, width);
  }
}

}  // namespace loraptor::test
