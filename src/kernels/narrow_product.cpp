#include "kernels/narrow_product.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cpu_parts.h"
#include "kernels/narrow_product_cpu.h"
#include "kernels/wide_product.h"

namespace loraptor::kernels {
namespace {

constexpr int64_t kMostRows = 8;          // with more the library's products are as fast
constexpr int64_t kMostSummed = 4 << 20;  // elements that a cache holds: their sums go down the columns

bool has_rows(const at::Tensor& t) {
  return t.device().is_cpu() && t.scalar_type() == at::kFloat && (t.stride(-1) == 1 || t.size(-1) == 1);
}

bool has_loop(const at::Tensor& narrow, const at::Tensor& wide) { return has_narrow_loop(narrow) && has_rows(wide); }

cpu::Rows rows_of(const at::Tensor& t) { return {t.const_data_ptr<float>(), t.stride(0), t.size(0), t.size(1)}; }
cpu::MutableRows mutable_rows_of(const at::Tensor& t) {
  return {t.mutable_data_ptr<float>(), t.stride(0), t.size(0), t.size(1)};
}

}  // namespace

bool has_narrow_loop(const at::Tensor& narrow) {
  return narrow.numel() <= kMostRows * narrow.size(-1) && has_rows(narrow);
}

at::Tensor narrow_dots(const at::Tensor& a, const at::Tensor& x) {
  LORAPTOR_ASSERT(a.dim() == 2 && x.dim() == 2 && a.size(1) == x.size(1));
  if (!has_loop(a, x)) return wide_product({}, a, x.t());
  const auto h = at::empty({a.size(0), x.size(0)}, a.options());
  for_each_part(x.size(0), row_parts(x.size(0), a.size(0) * a.size(1)), [&](int64_t, int64_t begin, int64_t end) {
    cpu::narrow_dots(rows_of(a), rows_of(x), mutable_rows_of(h), begin, end);
  });
  return h;
}

at::Tensor narrow_sums(const at::Tensor& h, const at::Tensor& x, double scale) {
  LORAPTOR_ASSERT(h.dim() == 2 && x.dim() == 2 && h.size(1) == x.size(0));
  if (!has_loop(h, x) || x.numel() > kMostSummed) {
    const auto sums = wide_product({}, h, x);
    return scale == 1 ? sums : sums.mul_(scale);
  }
  const auto sums = at::empty({h.size(0), x.size(1)}, h.options());
  // Cut by columns, in pieces of whole cache lines: each sum has one order at any number of threads.
  constexpr int64_t kPiece = 16;
  const int64_t pieces = (x.size(1) + kPiece - 1) / kPiece;
  for_each_part(pieces, row_parts(pieces, kPiece * h.numel()), [&](int64_t, int64_t begin, int64_t end) {
    cpu::narrow_sums(rows_of(h), rows_of(x), static_cast<float>(scale), mutable_rows_of(sums), begin * kPiece,
                     std::min(end * kPiece, x.size(1)));
  });
  return sums;
}

void add_narrow(const at::Tensor& y, const at::Tensor& h, const at::Tensor& b, double scale) {
  LORAPTOR_ASSERT(y.dim() == 2 && h.dim() == 2 && b.dim() == 2 && h.size(0) == b.size(0) && y.size(0) == h.size(1) &&
                  y.size(1) == b.size(1));
  if (!has_loop(h, y) || !has_loop(b, y)) {
    at::Tensor(y).addmm_(h.t(), b, /*beta=*/1, /*alpha=*/scale);
    return;
  }
  for_each_part(y.size(0), row_parts(y.size(0), h.size(0) * y.size(1)), [&](int64_t, int64_t begin, int64_t end) {
    cpu::add_narrow(mutable_rows_of(y), rows_of(h), rows_of(b), static_cast<float>(scale), begin, end);
  });
}

at::Tensor narrow_transposed(const at::Tensor& m, double scale) {
  LORAPTOR_ASSERT(m.dim() == 2);
  if (m.size(1) > kMostRows || !has_rows(m)) return scale == 1 ? m.t().contiguous() : m.t().mul(scale).contiguous();
  const auto rows = at::empty({m.size(1), m.size(0)}, m.options());
  cpu::narrow_transposed(rows_of(m), static_cast<float>(scale), mutable_rows_of(rows));
  return rows;
}

}  // namespace loraptor::kernels
