#include "models/sd3_variant.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"

namespace loraptor::models {
namespace {

// Shape of a tensor that every SD3 MMDiT has, with that many dimensions.
const std::vector<int64_t>& required_shape(const PartReader& reader, const std::string& name, size_t dimensions) {
  if (!reader.has(name)) {
    throw FileError(reader.path(), fmt::format("tensor '{}' of the MMDiT: got none, expected the transformer of Stable "
                                               "Diffusion 3 or 3.5.\nHint: the file may hold another model (SDXL, "
                                               "FLUX, a LoRA, a text encoder).",
                                               name));
  }
  const auto& shape = reader.shape(name);
  if (shape.size() != dimensions) {
    throw FileError(reader.path(), fmt::format("tensor '{}': got shape [{}], expected {} dimensions.", name,
                                               fmt::join(shape, ","), dimensions));
  }
  return shape;
}

void expect(const PartReader& reader, bool good, const std::string& name, const std::string& expected) {
  if (good) return;
  throw FileError(reader.path(), fmt::format("tensor '{}': got shape [{}], expected {}.", name,
                                             fmt::join(reader.shape(name), ","), expected));
}

}  // namespace

std::string Sd3Variant::type_name() const {
  if (!qk_norm) return "medium";
  return dual_blocks.empty() ? "5-large" : "5-medium";
}

std::string Sd3Variant::title() const {
  if (!qk_norm) return "SD3 Medium";
  return dual_blocks.empty() ? "SD3.5 Large" : "SD3.5 Medium";
}

Sd3Variant detect_variant(const PartReader& mmdit) {
  Sd3Variant v;
  const auto& kernel = required_shape(mmdit, "x_embedder.proj.weight", 4);
  expect(mmdit, kernel[1] == kLatentChannels && kernel[2] == kernel[3] && kernel[0] > 0 && kernel[0] % kHeadSize == 0,
         "x_embedder.proj.weight", "[64*depth,16,2,2]");
  v.width = kernel[0];
  v.patch = kernel[2];
  v.heads = v.width / kHeadSize;
  // The published models have as many blocks as heads; the file decides. A file cut off in the middle is found when its
  // last block turns out to be no last block (which has no context output).
  while (mmdit.has(fmt::format("joint_blocks.{}.x_block.attn.qkv.weight", v.depth))) ++v.depth;

  const auto& positions = required_shape(mmdit, "pos_embed", 3);
  v.pos_side = std::lround(std::sqrt(static_cast<double>(positions[1])));
  expect(mmdit, positions[0] == 1 && v.pos_side * v.pos_side == positions[1] && positions[2] == v.width, "pos_embed",
         fmt::format("[1,side*side,{}]", v.width));
  v.pooled_width = required_shape(mmdit, "y_embedder.mlp.0.weight", 2)[1];
  const auto& context = required_shape(mmdit, "context_embedder.weight", 2);
  expect(mmdit, context[0] == v.width, "context_embedder.weight", fmt::format("[{},any]", v.width));
  v.context_width = context[1];

  required_shape(mmdit, "joint_blocks.0.x_block.attn.qkv.weight", 2);
  v.qk_norm = mmdit.has("joint_blocks.0.context_block.attn.ln_k.weight");
  for (int64_t i = 0; i < v.depth; ++i) {
    if (mmdit.has(fmt::format("joint_blocks.{}.x_block.attn2.ln_k.weight", i))) v.dual_blocks.insert(i);
  }
  return v;
}

}  // namespace loraptor::models
