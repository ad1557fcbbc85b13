// Raw loops of gated_residual.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// Arrays of both passes; row r belongs to sample r / tokens. `branch` and `dbranch` may be bfloat16.
struct GatedRows {
  int64_t tokens, width;  // N, D
  bool bf16;              // element type of the branch
  const float* gate;      // [B,D]
  const void* branch;     // [B*N,D]
};

struct GatedBackward {
  const float* gradient;  // [B*N,D] of the sum
  void* dbranch;          // [B*N,D], or null: not wanted
  float* dgate;           // [B,D] sums of these rows are added here; null: not wanted
};

/// out = residual + gate * branch, all [B*N,D].
void gated_residual_forward(const GatedRows& rows, const float* residual, float* out, int64_t begin, int64_t end);
void gated_residual_backward(const GatedRows& rows, const GatedBackward& b, int64_t begin, int64_t end);

}  // namespace loraptor::kernels::cpu
