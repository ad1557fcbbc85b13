// What the processor can do, for choices between ways to multiply.
#pragma once

namespace loraptor {

/// All false on processors that are not x86-64.
struct CpuFeatures {
  bool intel = false;
  bool avx512 = false;       // float32 products of 512 bits
  bool avx512_bf16 = false;  // dot products of bfloat16
  bool amx = false;          // tiles of bfloat16
};

/// Of this machine, asked once.
const CpuFeatures& cpu_features();

}  // namespace loraptor
