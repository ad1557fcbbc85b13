#include "kernels/adam8bit_step_cpu.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu_simd.h"

namespace loraptor::kernels::cpu {
namespace {

/// The numbers of a block while it is worked on.
struct Block {
  float m[kAdamBlock], v[kAdamBlock];
};

/// Elements whose gradient is not finite lose their states and keep their value.
LORAPTOR_INLINE void update(const AdamNumbers& n, const float* gradient, float* value, Block& block, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const bool good = std::fabs(gradient[i]) <= std::numeric_limits<float>::max();
    const float g = good ? gradient[i] : 0.0f;
    const float m = std::fma(g, n.gain1, block.m[i] * n.beta1);
    const float v = block.v[i] * n.beta2 + n.gain2 * g * g;
    const float p = value[i] * n.decay + n.step * m / (std::sqrt(v) + n.epsilon);
    value[i] = good ? p : value[i];
    block.m[i] = good ? m : 0.0f;
    block.v[i] = good ? v : 0.0f;
  }
}

LORAPTOR_INLINE void dequantize(const NearestCode& codes, const uint8_t* code, float absmax, float* x, int64_t count) {
  const float* values = codes.values();
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = values[code[i]] * absmax;
}

LORAPTOR_INLINE float quantize(const NearestCode& codes, const float* x, uint8_t* code, int64_t count) {
  float absmax = 0;
#pragma omp simd reduction(max : absmax)
  for (int64_t i = 0; i < count; ++i) absmax = std::max(absmax, std::fabs(x[i]));
  const float divisor = absmax > 0 ? absmax : 1.0f;
  const float* borders = codes.borders();
  const int32_t* first = codes.first();
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float share = x[i] / divisor;
    const uint32_t bits = std::bit_cast<uint32_t>(share);
    const int32_t key = static_cast<int32_t>((bits & 0x7FFFFFFFu) >> (23 - NearestCode::kMantissaBits));
    const int32_t magnitude = std::min(std::max(key - NearestCode::kLowest, 0), NearestCode::kCells - 1);
    const int32_t lower = first[magnitude + static_cast<int32_t>(bits >> 31) * NearestCode::kCells];
    code[i] = static_cast<uint8_t>(lower + (borders[lower] < share ? 1 : 0));
  }
  return absmax;
}

LORAPTOR_CPU_CLONES void run_blocks(const Adam8bitArrays& a, const AdamNumbers& numbers, const NearestCode& codes1,
                                    const NearestCode& codes2, int64_t begin, int64_t end) {
  Block block;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t at = b * kAdamBlock, count = std::min(kAdamBlock, a.elements - at);
    dequantize(codes1, a.code1 + at, a.absmax1[b], block.m, count);
    dequantize(codes2, a.code2 + at, a.absmax2[b], block.v, count);
    update(numbers, a.gradient + at, a.value + at, block, count);
    a.absmax1[b] = quantize(codes1, block.m, a.code1 + at, count);
    a.absmax2[b] = quantize(codes2, block.v, a.code2 + at, count);
  }
}

/// The smallest magnitude of a cell.
float cell_begin(int32_t cell) {
  if (cell == 0) return 0;
  return std::bit_cast<float>(static_cast<uint32_t>(cell + NearestCode::kLowest) << (23 - NearestCode::kMantissaBits));
}

}  // namespace

NearestCode::NearestCode(const float* values, const float* borders) : first_(2 * kCells) {
  std::copy_n(values, 256, values_.begin());
  std::copy_n(borders, 255, borders_.begin());
  borders_[255] = std::numeric_limits<float>::infinity();
  const auto last = borders_.end();
  for (int32_t cell = 0; cell < kCells; ++cell) {
    // Borders below every number of the cell: magnitudes are in [cell_begin(cell), cell_begin(cell + 1)).
    const auto positive = std::lower_bound(borders_.begin(), last, cell_begin(cell));
    const auto negative = std::upper_bound(borders_.begin(), last, -cell_begin(cell + 1));
    first_[static_cast<size_t>(cell)] = static_cast<int32_t>(positive - borders_.begin());
    first_[static_cast<size_t>(cell + kCells)] = static_cast<int32_t>(negative - borders_.begin());
  }
}

void adam8bit_blocks(const Adam8bitArrays& arrays, const AdamNumbers& numbers, const NearestCode& codes1,
                     const NearestCode& codes2, int64_t begin, int64_t end) {
  run_blocks(arrays, numbers, codes1, codes2, begin, end);
}

}  // namespace loraptor::kernels::cpu
