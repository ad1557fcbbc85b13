// A residual connection whose branch is scaled by a gate per channel.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// `residual + gate * branch`, summed in the dtype of the residual stream.
///   residual   float32 or float64 [B,N,D]
///   gate       [B,D], any float dtype; may be a slice of a wider tensor
///   branch     [B,N,D], any float dtype
/// Returns a new tensor like `residual`. Differentiable in all three.
/// Ref: arXiv:2212.09748 §3.2 (adaLN-Zero).
at::Tensor gated_residual(const at::Tensor& residual, const at::Tensor& gate, const at::Tensor& branch);

/// The same from ATen's operators: for devices and dtypes without a kernel, and for tests.
at::Tensor gated_residual_plain(const at::Tensor& residual, const at::Tensor& gate, const at::Tensor& branch);

}  // namespace loraptor::kernels
