// A frozen linear layer and its low-rank correction as one differentiable function.
#pragma once

#include <ATen/ATen.h>

#include "nn/weight_storage.h"

namespace loraptor::network {

/// The correction scale * ((x down^T) * mask) up^T.
struct LowRankTerm {
  at::Tensor down;  // [splits*r,in], trained
  at::Tensor up;    // [out,r], trained
  at::Tensor mask;  // what the activations [..,splits*r] are multiplied by (broadcast), or undefined
  double scale = 1;
  int64_t splits = 1;  // 3: rows i*out/3 … of `up` see only activations i*r … (separate pairs for q, k, v)
};

/// x W^T + bias + correction. Both products accumulate into one buffer, forward and backward; the frozen weight gets no
/// gradient and is never kept in a converted copy.
///   x       [..,in] in the compute dtype of `weight`
///   bias    [out], or undefined; frozen
/// Returns [..,out] in the compute dtype. `down` and `up` may have another dtype (float32): they are cast on use, and
/// their gradients come back in it.
at::Tensor low_rank_linear(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias,
                           const LowRankTerm& term);

}  // namespace loraptor::network
