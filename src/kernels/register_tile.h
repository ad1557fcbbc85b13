// The inner loop of matrix products: a tile of the result stays in registers while the common dimension is gone
// through.
#pragma once

#include <algorithm>

#include "kernels/cpu_simd.h"
#include "kernels/matrix_rows.h"

namespace loraptor::kernels::cpu {

/// Columns of a tile: two registers. With six rows that makes twelve sums in flight, enough to hide the latency of the
/// multiply-add, and with the two registers of `b` and one factor they fill the sixteen registers of AVX2.
template <int kLanes>
constexpr int64_t kTileColumns = 2 * kLanes;
constexpr int64_t kTileRows = 6;

/// The left factor of a product, by rows or transposed.
struct LeftFactor {
  const float* data;
  int64_t row_stride, column_stride;
};

/// c = a b, or c += a b, for `count` (>= 0) rows and one panel of columns.
///   a       [count,depth]
///   panel   [depth,kTileColumns], contiguous
///   c       first of `count` rows, `stride` apart, of kTileColumns
template <int kLanes, bool kAdd, int kRows = kTileRows>
LORAPTOR_INLINE void multiply_panel(LeftFactor a, const float* panel, int64_t depth, float* c, int64_t stride,
                                    int64_t count) {
  using Vector = typename VectorOf<kLanes>::type;
  using InMemory = typename VectorOf<kLanes>::memory;
  int64_t r = 0;
  for (; r + kRows <= count; r += kRows) {
    const float* factors = a.data + r * a.row_stride;
    Vector low[kRows]{}, high[kRows]{};
    for (int64_t k = 0; k < depth; ++k) {
      const float* b = panel + k * kTileColumns<kLanes>;
      const Vector b0 = *reinterpret_cast<const InMemory*>(b), b1 = *reinterpret_cast<const InMemory*>(b + kLanes);
      for (int i = 0; i < kRows; ++i) {
        const float factor = factors[i * a.row_stride + k * a.column_stride];
        low[i] += b0 * factor;
        high[i] += b1 * factor;
      }
    }
    for (int i = 0; i < kRows; ++i) {
      float* const to = c + (r + i) * stride;
      InMemory& c0 = *reinterpret_cast<InMemory*>(to);  // not auto: it forgets the alignment
      InMemory& c1 = *reinterpret_cast<InMemory*>(to + kLanes);
      c0 = kAdd ? c0 + low[i] : low[i];
      c1 = kAdd ? c1 + high[i] : high[i];
    }
  }
  if constexpr (kRows > 1) {  // the rows that are left: fewer than kRows
    a.data += r * a.row_stride;
    multiply_panel<kLanes, kAdd, kRows / 2>(a, panel, depth, c + r * stride, stride, count - r);
  }
}

/// Columns [first, first + kTileColumns) of `m`, made contiguous: [rows,kTileColumns]. Zeros beyond its columns.
template <int kLanes>
LORAPTOR_INLINE void pack_panel(const Rows& m, int64_t first, float* panel) {
  constexpr int64_t kColumns = kTileColumns<kLanes>;
  const int64_t there = std::min(kColumns, m.columns - first);
  for (int64_t i = 0; i < m.rows; ++i, panel += kColumns) {
    const float* from = m.row(i) + first;
    if (there == kColumns) {
      for (int64_t j = 0; j < kColumns; ++j) panel[j] = from[j];
    } else {
      for (int64_t j = 0; j < kColumns; ++j) panel[j] = j < there ? from[j] : 0;
    }
  }
}

/// The same of `m` transposed: rows [first, first + kTileColumns) of it become columns, each times `scale`.
template <int kLanes>
LORAPTOR_INLINE void pack_transposed_panel(const Rows& m, int64_t first, float scale, float* panel) {
  constexpr int64_t kColumns = kTileColumns<kLanes>;
  const int64_t there = std::min(kColumns, m.rows - first);
  for (int64_t j = 0; j < kColumns; ++j) {
    for (int64_t i = 0; i < m.columns; ++i) panel[i * kColumns + j] = j < there ? scale * m.row(first + j)[i] : 0;
  }
}

}  // namespace loraptor::kernels::cpu
