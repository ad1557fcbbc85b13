// Finds the layer where numbers stop being finite, after it has happened: looking all the time would cost too much.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "network/network.h"

namespace loraptor::train {

class ModuleProbe {
 public:
  /// layers   of all loaded models; they must outlive the probe
  explicit ModuleProbe(std::vector<network::TargetLinear> layers) : layers_(std::move(layers)) {}

  /// Calls `forward` with an eye on every layer.
  /// Returns the first whose output is not finite, as "layer joint_blocks.3.x_block.mlp.fc1 of the MMDiT", or "what
  /// goes into layer …" where its input is not finite already; empty if all outputs are finite.
  std::string first_not_finite(const std::function<void()>& forward) const;

 private:
  std::vector<network::TargetLinear> layers_;
};

/// The module that a gradient which is not finite comes from: the last one of the forward order that has it. Empty if
/// all gradients are finite.
std::string module_of_lost_gradient(const network::Network& network);

/// The module with the largest gradient.
std::string module_of_largest_gradient(const network::Network& network);

}  // namespace loraptor::train
