// Dropout with masks from the counter generator, so that a recomputed layer drops the same elements.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "tensor/rng.h"

namespace loraptor::models {

/// Dropout of one forward pass. At rate 0 it does nothing.
struct ActivationDropout {
  double rate = 0;  // probability that an element becomes 0; the others are divided by 1 - rate
  tensor::CounterRng rng{0};
  int64_t micro_step = 0;

  bool is_on() const { return rate > 0; }

  /// What the elements at `place` are multiplied with: float32 on the CPU.
  ///   place   name that no other place of the encoder has
  at::Tensor mask(std::string_view place, at::IntArrayRef shape) const;

  /// x with its elements dropped, in its dtype.
  at::Tensor apply(const at::Tensor& x, std::string_view place) const;
};

}  // namespace loraptor::models
