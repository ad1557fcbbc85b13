// Finding the Linear layers of a model by their path.
#pragma once

#include <functional>
#include <string>

#include "nn/linear.h"

namespace loraptor::nn {

/// Called once per Linear with its path as in the checkpoint, without prefix and without ".weight",
/// e.g. "joint_blocks.0.x_block.attn.qkv". Every model has a method `visit_linears(const LinearVisitor&)` that calls it
/// in the order the layers are listed there.
using LinearVisitor = std::function<void(const std::string& path, Linear& layer)>;

}  // namespace loraptor::nn
