// Sinusoidal embedding of the timestep.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::nn {

/// `[cos(t f), sin(t f)]` with `f_k = 10000^(-k/(channels/2))`.
///   timesteps   float32 [B], 0..1000
///   channels    even
/// Returns float32 [B,channels], cosines first.
/// Ref: arXiv:1706.03762 §3.5; sd-scripts@48d368f library/sd3_models.py:timestep_embedding.
at::Tensor timestep_sincos(const at::Tensor& timesteps, int64_t channels);

}  // namespace loraptor::nn
