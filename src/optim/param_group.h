// Parameters and groups of them: what an optimizer works on. All values lie in one flat buffer, all gradients in
// another.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace loraptor::optim {

/// One tensor that is trained.
struct Parameter {
  std::string name;
  at::Tensor value;  // a view of the flat buffer; requires_grad; `value.grad()` is a view of the flat gradient
};

/// Parameters with a common learning rate. They lie side by side, so an elementwise optimizer may treat the whole
/// group as one tensor.
struct ParamGroup {
  std::string name;                   // as logs show it, e.g. "unet"
  double lr = 0;                      // base learning rate, before the schedule
  at::Tensor flat;                    // all values of the group, 1-D, a slice of the network's buffer
  at::Tensor flat_grad;               // the gradients, same layout
  std::vector<Parameter> parameters;  // views of `flat`, in its order
};

/// Two flat buffers, values and gradients, from which tensors are cut one after the other.
class FlatBuffer {
 public:
  FlatBuffer() = default;
  /// Both buffers are zero.
  FlatBuffer(int64_t elements, const at::TensorOptions& options);

  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }

  /// A leaf that requires a gradient, whose value and gradient are views of the buffers from element `offset` on.
  /// Autograd accumulates in place, so the gradient stays a view as long as nobody resets it.
  at::Tensor leaf(int64_t offset, at::IntArrayRef shape) const;

 private:
  at::Tensor values_;
  at::Tensor gradients_;
};

}  // namespace loraptor::optim
