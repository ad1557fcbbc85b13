#include "kernels/narrow_product_cpu.h"

#include <algorithm>

#include "kernels/cpu_simd.h"

// Each loop handles four narrow rows at a time and keeps their sums in registers, so that a value of the wide matrix is
// loaded once for four multiplications. Eight sums in flight hide the latency of the multiply-add.

namespace loraptor::kernels::cpu {
namespace {

constexpr int64_t kLanes = 8;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));

LORAPTOR_INLINE const Lanes& lanes(const float* p) { return *reinterpret_cast<const Lanes*>(p); }
LORAPTOR_INLINE Lanes& lanes(float* p) { return *reinterpret_cast<Lanes*>(p); }

LORAPTOR_INLINE float total(const Lanes& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/// kRows narrow rows from `first` on.
template <int kRows>
LORAPTOR_INLINE void dots(const Rows& a, int64_t first, const Rows& x, const MutableRows& h, int64_t begin,
                          int64_t end) {
  const int64_t whole = x.columns / (2 * kLanes) * (2 * kLanes);
  for (int64_t n = begin; n < end; ++n) {
    const float* row = x.row(n);
    Lanes even[kRows]{}, odd[kRows]{};
    for (int64_t k = 0; k < whole; k += 2 * kLanes) {
      const Lanes x0 = lanes(row + k), x1 = lanes(row + k + kLanes);
      for (int j = 0; j < kRows; ++j) {
        even[j] += x0 * lanes(a.row(first + j) + k);
        odd[j] += x1 * lanes(a.row(first + j) + k + kLanes);
      }
    }
    for (int j = 0; j < kRows; ++j) {
      float sum = total(even[j] + odd[j]);
      for (int64_t k = whole; k < x.columns; ++k) sum += row[k] * a.row(first + j)[k];
      h.row(first + j)[n] = sum;
    }
  }
}

template <int kRows>
LORAPTOR_INLINE void sums_of(const Rows& h, int64_t first, const Rows& x, float scale, const MutableRows& sums,
                             int64_t begin, int64_t end) {
  int64_t k = begin;
  for (; k + 2 * kLanes <= end; k += 2 * kLanes) {
    Lanes low[kRows]{}, high[kRows]{};
    for (int64_t n = 0; n < x.rows; ++n) {
      const Lanes x0 = lanes(x.row(n) + k), x1 = lanes(x.row(n) + k + kLanes);
      for (int j = 0; j < kRows; ++j) {
        const float factor = h.row(first + j)[n];
        low[j] += x0 * factor;
        high[j] += x1 * factor;
      }
    }
    for (int j = 0; j < kRows; ++j) {
      lanes(sums.row(first + j) + k) = low[j] * scale;
      lanes(sums.row(first + j) + k + kLanes) = high[j] * scale;
    }
  }
  for (; k < end; ++k) {
    for (int j = 0; j < kRows; ++j) {
      float sum = 0;
      for (int64_t n = 0; n < x.rows; ++n) sum += h.row(first + j)[n] * x.row(n)[k];
      sums.row(first + j)[k] = sum * scale;
    }
  }
}

/// Four rows of y at a time share the loads of b.
template <int kRows>
LORAPTOR_INLINE void add_rows(const MutableRows& y, const Rows& h, const Rows& b, float scale, int64_t n) {
  int64_t k = 0;
  for (; k + 2 * kLanes <= y.columns; k += 2 * kLanes) {
    Lanes low[kRows]{}, high[kRows]{};
    for (int64_t j = 0; j < b.rows; ++j) {
      const Lanes b0 = lanes(b.row(j) + k), b1 = lanes(b.row(j) + k + kLanes);
      for (int i = 0; i < kRows; ++i) {
        const float factor = h.row(j)[n + i];
        low[i] += b0 * factor;
        high[i] += b1 * factor;
      }
    }
    for (int i = 0; i < kRows; ++i) {
      lanes(y.row(n + i) + k) += low[i] * scale;
      lanes(y.row(n + i) + k + kLanes) += high[i] * scale;
    }
  }
  for (; k < y.columns; ++k) {
    for (int i = 0; i < kRows; ++i) {
      float sum = 0;
      for (int64_t j = 0; j < b.rows; ++j) sum += h.row(j)[n + i] * b.row(j)[k];
      y.row(n + i)[k] += scale * sum;
    }
  }
}

}  // namespace

LORAPTOR_CPU_CLONES void narrow_dots(const Rows& a, const Rows& x, const MutableRows& h, int64_t begin, int64_t end) {
  // Rows of x that stay in the first-level cache while all of `a` goes over them.
  constexpr int64_t kRowsAtOnce = 8;
  for (int64_t n = begin; n < end; n += kRowsAtOnce) {
    const int64_t last = std::min(end, n + kRowsAtOnce);
    int64_t j = 0;
    for (; j + 4 <= a.rows; j += 4) dots<4>(a, j, x, h, n, last);
    for (; j < a.rows; ++j) dots<1>(a, j, x, h, n, last);
  }
}

LORAPTOR_CPU_CLONES void narrow_sums(const Rows& h, const Rows& x, float scale, const MutableRows& sums, int64_t begin,
                                     int64_t end) {
  for (int64_t k = begin; k < end; k += 2 * kLanes) {
    const int64_t last = std::min(end, k + 2 * kLanes);
    int64_t j = 0;
    for (; j + 4 <= h.rows; j += 4) sums_of<4>(h, j, x, scale, sums, k, last);
    for (; j < h.rows; ++j) sums_of<1>(h, j, x, scale, sums, k, last);
  }
}

LORAPTOR_CPU_CLONES void add_narrow(const MutableRows& y, const Rows& h, const Rows& b, float scale, int64_t begin,
                                    int64_t end) {
  int64_t n = begin;
  for (; n + 4 <= end; n += 4) add_rows<4>(y, h, b, scale, n);
  for (; n < end; ++n) add_rows<1>(y, h, b, scale, n);
}

LORAPTOR_CPU_CLONES void narrow_transposed(const Rows& m, float scale, const MutableRows& rows) {
  for (int64_t j = 0; j < rows.rows; ++j) {
    float* to = rows.row(j);
    const float* from = m.data + j;
    for (int64_t k = 0; k < rows.columns; ++k) to[k] = scale * from[k * m.stride];
  }
}

}  // namespace loraptor::kernels::cpu
