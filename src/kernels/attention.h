// Attention over queries, keys and values that are already cut into heads.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// `softmax(q k^T / sqrt(head size)) v` without a mask, softmax statistics in float32.
///   q         [B,h,Lq,D/h]
///   k, v      [B,h,Lk,D/h], all of one dtype
/// Returns [B,Lq,D], heads side by side. Differentiable. Float32 on the CPU has loops of its own, which keep nothing of
/// the size Lq x Lk; all else is the library's.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

/// The same from the library, for every device and dtype, and for tests.
at::Tensor attention_plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace loraptor::kernels
