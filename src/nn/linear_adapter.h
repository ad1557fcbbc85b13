// What may be added to a Linear from outside: LoRA and its relatives.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace loraptor::nn {

/// A trainable correction of one Linear layer. The layer holds it, the network owns its parameters.
class LinearAdapter {
 public:
  virtual ~LinearAdapter() = default;

  /// Returns the corrected output.
  ///   x   [..,in] what the layer read, already in the compute dtype
  ///   y   [..,out] what the layer computed, same dtype
  virtual at::Tensor apply(const at::Tensor& x, const at::Tensor& y) const = 0;

  /// The tensors that gradients are wanted for. A recomputing BlockRunner needs them.
  virtual std::vector<at::Tensor> parameters() const = 0;
};

}  // namespace loraptor::nn
