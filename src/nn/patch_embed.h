// Cutting latents into 2x2 patches and putting them together again.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::nn {

/// [B,C,H,W] -> [B,(H/p)(W/p),C*p*p]: patches row by row, values of one patch ordered (channel, row, column) like a
/// convolution kernel, so that a Linear over them equals the convolution with stride p.
at::Tensor patchify(const at::Tensor& image, int64_t patch);

/// [B,(H/p)(W/p),p*p*C] -> [B,C,H,W]: values of one patch ordered (row, column, channel).
at::Tensor unpatchify(const at::Tensor& tokens, int64_t patch, int64_t height, int64_t width);

}  // namespace loraptor::nn
