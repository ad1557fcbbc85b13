#include "optim/param_group.h"

#include "base/error.h"

namespace loraptor::optim {

FlatBuffer::FlatBuffer(int64_t elements, const at::TensorOptions& options)
    : values_(at::zeros({elements}, options)), gradients_(at::zeros({elements}, options)) {}

at::Tensor FlatBuffer::leaf(int64_t offset, at::IntArrayRef shape) const {
  const int64_t end = offset + c10::multiply_integers(shape);
  LORAPTOR_ASSERT(offset >= 0 && end <= values_.numel());
  auto value = values_.slice(0, offset, end).view(shape).detach();
  value.requires_grad_();
  value.mutable_grad() = gradients_.slice(0, offset, end).view(shape);
  return value;
}

}  // namespace loraptor::optim
