// Raw loops of split_heads.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// One source of the joint attention; row r of its B*L rows is token r % tokens of sample r / tokens.
struct HeadRows {
  int64_t tokens;                // L of this source
  int64_t heads, size;           // h, D/h
  int64_t first;                 // place of this source's first token among the joined keys and values
  int64_t first_query;           // the same among the queries; negative: this source has none
  bool bf16;                     // element type of everything but the weights
  const void* qkv;               // [B,L,3D]
  const float *q_norm, *k_norm;  // [size], or null: no norm
  float eps;
};

/// One of q, k, v (or its gradient) [B,h,joined L,size]: strides in elements, innermost 1.
struct HeadArray {
  void* data;
  int64_t batch_stride, head_stride, token_stride;
};

void split_heads_forward(const HeadRows& rows, const HeadArray (&qkv)[3], int64_t begin, int64_t end);

///   gradients   of q, k, v
///   dqkv        [B,L,3D]
void split_heads_backward(const HeadRows& rows, const HeadArray (&gradients)[3], void* dqkv, int64_t begin,
                          int64_t end);

}  // namespace loraptor::kernels::cpu
