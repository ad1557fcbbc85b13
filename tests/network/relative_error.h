// The distance of a tensor from another one, as a share of the other's 2-norm.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::network {

inline double relative(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

}  // namespace loraptor::network
