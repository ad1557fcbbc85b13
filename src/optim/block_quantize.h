// 8-bit optimizer states: a code per element and a float32 scale per block of 256 consecutive elements.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::optim {

inline constexpr int64_t kQuantBlock = 256;

/// The 256 values that codes stand for, ascending, float32: for i = 0..6 the midpoints of 2^i (signed, each with both
/// signs) or 2^(i+1) (unsigned) equal parts of [0.1, 1] times 10^(i-6), and 0 and 1.
/// Ref: arXiv:2110.02861; bitsandbytes functional.py:create_dynamic_map.
at::Tensor make_code_table(bool is_signed);

/// A code table on a device, with the midpoints between its entries.
struct CodeTable {
  explicit CodeTable(bool is_signed, at::Device device = at::kCPU);
  at::Tensor values;   // float32 [256]
  at::Tensor borders;  // float32 [255]; a value on a border takes the lower entry
};

/// values[codes] * absmax.
///   codes    uint8 [blocks,256]
///   absmax   float32 [blocks]
/// Returns float32 [blocks,256].
at::Tensor dequantize(const at::Tensor& codes, const at::Tensor& absmax, const CodeTable& table);

/// The entry nearest to x / absmax, absmax being the block's largest magnitude; a block of zeros gets the code of 0.
///   x        float32 [blocks,256]
///   codes    uint8 [blocks,256], written
///   absmax   float32 [blocks], written
void quantize(const at::Tensor& x, const CodeTable& table, at::Tensor codes, at::Tensor absmax);

}  // namespace loraptor::optim
