// Raw loops of adam8bit_step.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace loraptor::kernels::cpu {

inline constexpr int64_t kAdamBlock = 256;  // elements with a common scale

/// Finds the nearest of 256 ascending values without searching: a table over the leading bits of x says how many
/// borders lie below its cell, and no cell holds more than one border.
class NearestCode {
 public:
  /// values    the 256 values, ascending, within -1 … 1
  /// borders   the 255 midpoints between them; a number on a border belongs to the lower value
  NearestCode(const float* values, const float* borders);

  const float* values() const { return values_.data(); }
  const float* borders() const { return borders_.data(); }
  const int32_t* first() const { return first_.data(); }

  static constexpr int kMantissaBits = 7;
  static constexpr int32_t kLowest = (127 - 24) << kMantissaBits;  // magnitudes below 2^-24 are in one cell
  static constexpr int32_t kCells = (24 << kMantissaBits) + 1;     // the last one holds 1 alone

 private:
  std::array<float, 256> values_, borders_;  // the last border is infinite
  std::vector<int32_t> first_;               // [2 * kCells]: positive numbers, then negative ones
};

/// The numbers of a step of AdamW.
struct AdamNumbers {
  float beta1, beta2;  // share of the old moments
  float gain1, gain2;  // 1 - beta1, 1 - beta2, not computed from the rounded betas
  float decay;         // 1 - lr * weight_decay
  float step;          // -lr * b2 / b1, with the bias corrections b1 = 1 - beta1^t, b2 = sqrt(1 - beta2^t)
  float epsilon;       // eps * b2
};

/// One parameter with its states: a code an element, a scale a block.
struct Adam8bitArrays {
  int64_t elements;
  float* value;
  const float* gradient;
  uint8_t *code1, *code2;
  float *absmax1, *absmax2;
};

/// Blocks begin … end of a parameter.
void adam8bit_blocks(const Adam8bitArrays& arrays, const AdamNumbers& numbers, const NearestCode& codes1,
                     const NearestCode& codes2, int64_t begin, int64_t end);

}  // namespace loraptor::kernels::cpu
