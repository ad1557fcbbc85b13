// A matrix as the raw loops see it.
#pragma once

#include <cstdint>

namespace loraptor::kernels::cpu {

/// A matrix whose rows are contiguous.
template <class T>
struct RowsOf {
  T* data;
  int64_t stride;  // elements from one row to the next
  int64_t rows, columns;

  T* row(int64_t i) const { return data + i * stride; }
  /// Rows [begin,end).
  RowsOf part(int64_t begin, int64_t end) const { return {row(begin), stride, end - begin, columns}; }
};
using Rows = RowsOf<const float>;
using MutableRows = RowsOf<float>;

}  // namespace loraptor::kernels::cpu
