// LayerNorm without parameters, followed by the shift and scale of adaptive modulation.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// `layer_norm(x) * (1 + scale) + shift`, statistics and sums in float32 (float64 for float64 x).
///   x       float32 or float64 [B,N,D]
///   shift, scale   [B,D], any float dtype; may be slices of a wider tensor
///   eps     added to the variance
///   dtype   of the result
/// Returns [B,N,D]. Differentiable in x, shift and scale.
/// Ref: arXiv:2212.09748 §3.2 (adaLN); sd-scripts@48d368f library/sd3_models.py:modulate.
at::Tensor layer_norm_modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                               at::ScalarType dtype);

/// The same from ATen's operators: for devices and dtypes without a kernel, and for tests.
at::Tensor layer_norm_modulate_plain(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                                     at::ScalarType dtype);

}  // namespace loraptor::kernels
