// A step of AdamW whose states are stored in 8 bits, in one pass over each block of 256 elements.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "kernels/adam8bit_step_cpu.h"

namespace loraptor::kernels {

/// A parameter and its states; all on the CPU and contiguous. Changed in place but for the gradient.
struct Adam8bitParameter {
  at::Tensor value, gradient;  // float32, n elements
  at::Tensor code1, absmax1;   // first moment: uint8 [n] and float32 [ceil(n / 256)]
  at::Tensor code2, absmax2;   // second moment
};

/// The code table of a moment, prepared for looking up the nearest value.
///   values    float32 [256], ascending, within -1 … 1
///   borders   float32 [255]
cpu::NearestCode nearest_code(const at::Tensor& values, const at::Tensor& borders);

/// value = decay * value + step * m / (sqrt(v) + epsilon) with the new moments m and v, which are then rounded to the
/// nearest code. Elements whose gradient is not finite lose their states and keep their value.
/// Ref: arXiv:2110.02861.
void adam8bit_step(const std::vector<Adam8bitParameter>& parameters, const cpu::AdamNumbers& numbers,
                   const cpu::NearestCode& codes1, const cpu::NearestCode& codes2);

}  // namespace loraptor::kernels
