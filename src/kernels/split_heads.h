// From the outputs of the qkv layers to the queries, keys and values of one joint attention.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace loraptor::kernels {

/// The tokens of one side of a joint attention.
struct QkvSource {
  at::Tensor qkv;             // [B,L,3D]: queries, keys, values
  at::Tensor q_norm, k_norm;  // [D/heads] weights of the RMS norms, or undefined: no norm. Not trained.
  bool attends = true;        // false: the tokens are seen by the others, but what they would see is not wanted
};

struct Heads {
  at::Tensor q, k, v;  // [B,heads,L,D/heads] in the dtype of qkv; L is the sum over the sources (q: those that attend)
};

/// Cuts qkv into heads, normalises queries and keys of each head by their root mean square (in float32, eps 1e-6), and
/// joins the sources along the tokens, in their order. Differentiable in every qkv.
/// Ref: arXiv:2403.03206 §5.3.2 (q/k norm); sd-scripts@48d368f library/sd3_models.py:MMDiTBlock.
Heads split_heads(const std::vector<QkvSource>& sources, int64_t heads);

/// The same from ATen's operators: for devices and dtypes without a kernel, and for tests.
Heads split_heads_plain(const std::vector<QkvSource>& sources, int64_t heads);

constexpr double kQkNormEps = 1e-6;

}  // namespace loraptor::kernels
