// Layers with the shapes of real models and no memory of their own: for everything that needs names and shapes only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "network/network.h"

namespace loraptor::test {

/// A layer of every variant, and the name of its module in files.
inline const std::string kQkvPath = "joint_blocks.0.x_block.attn.qkv";
inline const std::string kQkvName = "lora_unet_joint_blocks_0_x_block_attn_qkv";

/// Owns layers and lists them as targets.
class SyntheticModel {
 public:
  /// Adds a layer of in -> out features whose weight is one repeated zero.
  void add(network::TargetModel model, const std::string& path, int64_t in, int64_t out) {
    add_weight(model, path, at::zeros({1}).expand({out, in}));
  }
  /// Adds a layer over a weight or a convolution kernel.
  void add_weight(network::TargetModel model, const std::string& path, at::Tensor weight) {
    layers_.push_back(std::make_unique<nn::Linear>(std::move(weight)));
    targets_.push_back({model, path, layers_.back().get()});
  }

  const std::vector<network::TargetLinear>& targets() const { return targets_; }
  nn::Linear& layer(const std::string& path) const {
    for (const auto& target : targets_) {
      if (target.path == path) return *target.layer;
    }
    throw std::runtime_error("no layer " + path);
  }

 private:
  std::vector<std::unique_ptr<nn::Linear>> layers_;
  std::vector<network::TargetLinear> targets_;
};

/// All Linears of an MMDiT.
struct MmditShape {
  int64_t width, depth, dual_blocks = 0, context = 4096, pooled = 2048;
};
void add_mmdit(SyntheticModel& model, const MmditShape& shape);
/// All Linears of a CLIP text model, its projection included.
void add_clip(SyntheticModel& model, network::TargetModel which, int64_t width, int64_t layers);
void add_t5(SyntheticModel& model, int64_t width, int64_t inner, int64_t ff, int64_t layers);

}  // namespace loraptor::test
