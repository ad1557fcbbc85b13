// Raw loops of attention, for one head.
#pragma once

#include "kernels/matrix_rows.h"

namespace loraptor::kernels::cpu {

/// Whether this processor has the loops for heads of this size.
bool has_attention_loop(int64_t head_size);

/// Floats of working memory of the two functions, for heads with so many keys.
int64_t attention_forward_memory(int64_t keys, int64_t head_size);
int64_t attention_backward_memory(int64_t keys, int64_t head_size);

/// out = softmax(q k^T / sqrt(size)) v; every query alone, so that a head can be cut among threads.
///   q, out       [queries,size]
///   k, v         [keys,size]
///   log_sums     [queries] logarithms of the sums of exp(scores), for the backward pass
void attention_forward(const Rows& q, const Rows& k, const Rows& v, const MutableRows& out, float* log_sums,
                       float* memory);

/// The operands of a forward pass, its sums, and the gradient of its result.
struct AttentionSaved {
  Rows q, k, v, gradient;
  const float* log_sums;
};

/// Gradients of q, k and v; they are overwritten.
void attention_backward(const AttentionSaved& saved, const MutableRows& dq, const MutableRows& dk,
                        const MutableRows& dv, float* memory);

}  // namespace loraptor::kernels::cpu
