// Attention over queries, keys and values that are already cut into heads.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::nn {

/// `softmax(q k^T / sqrt(head size)) v` without a mask, softmax statistics in float32.
///   q, k, v   [B,h,L,D/h], one dtype
/// Returns [B,L,D], heads side by side.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace loraptor::nn
