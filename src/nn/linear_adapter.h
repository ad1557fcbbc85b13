// What may be added to a Linear from outside: LoRA and its relatives.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "nn/weight_storage.h"

namespace loraptor::nn {

/// A trainable correction of one Linear layer. The layer holds it, the network owns its parameters.
class LinearAdapter {
 public:
  virtual ~LinearAdapter() = default;

  /// Returns the corrected output of the whole layer: x W^T + b + correction(x). The adapter computes the product with
  /// the frozen weight too, so that forward and backward can share buffers.
  ///   x       [..,in] in the compute dtype of the weight
  ///   weight  the layer's frozen weight [out,in]
  ///   bias    [out] in the compute dtype, or undefined
  /// Returns [..,out] in the compute dtype.
  virtual at::Tensor forward(const at::Tensor& x, const WeightStorage& weight, const at::Tensor& bias) const = 0;

  /// The tensors that gradients are wanted for. A recomputing BlockRunner needs them.
  virtual std::vector<at::Tensor> parameters() const = 0;
};

}  // namespace loraptor::nn
