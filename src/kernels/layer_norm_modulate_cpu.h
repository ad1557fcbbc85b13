// Raw loops of layer_norm_modulate.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// Arrays of the forward pass; row r belongs to sample r / tokens.
struct LayerNormRows {
  int64_t tokens, width;  // N, D
  bool bf16;              // element type of `out` or `gradient`; everything else is float32
  const float* x;         // [B*N,D]
  const float* factor;    // [B,D] 1 + scale
};

struct LayerNormForward {
  const float* shift;  // [B,D]
  float eps;
  float *mean, *rstd;  // [B*N]
  void* out;           // [B*N,D]
};

struct LayerNormBackward {
  const float *mean, *rstd;  // [B*N]
  const void* gradient;      // [B*N,D] of the result
  float* dx;                 // [B*N,D], or null: not wanted
  float *dshift, *dscale;    // [B,D] sums of these rows are added here; both null: not wanted
};

void layer_norm_modulate_forward(const LayerNormRows& rows, const LayerNormForward& f, int64_t begin, int64_t end);
void layer_norm_modulate_backward(const LayerNormRows& rows, const LayerNormBackward& b, int64_t begin, int64_t end);

}  // namespace loraptor::kernels::cpu
