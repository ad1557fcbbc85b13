#include "network/low_rank.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "tensor/rng.h"

namespace loraptor::network {
namespace {

constexpr int64_t kExtraColumns = 8;  // of the random block, beyond the rank
constexpr double kSmallestGain = 1e-7;

Svd exact_svd(const at::Tensor& matrix, int64_t rank) {
  const auto [u, s, vh] = at::linalg_svd(matrix.to(at::kDouble), /*full_matrices=*/false);
  return {u.narrow(1, 0, rank), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
}

at::Tensor orthonormal(const at::Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

/// The part of the squared norm of a matrix with these rows that its `rank` greatest singular values hold.
double captured_by(const at::Tensor& rows, int64_t rank) {
  const auto wide = rows.to(at::kDouble);
  return at::linalg_eigvalsh(wide.mm(wide.t())).slice(0, -rank).sum().item<double>();
}

/// Block Krylov iteration: the space of all blocks made so far, A X, (A A^T) A X …, is searched, not the last one
/// alone, which takes far fewer products with a flat spectrum than a subspace iteration does.
Svd iterative_svd(const at::Tensor& a, int64_t rank) {
  const int64_t side = std::min(a.size(0), a.size(1)), columns = std::min(rank + kExtraColumns, side);
  const auto start = tensor::CounterRng(0).normal({tensor::Purpose::lora_init}, {a.size(1), columns});
  const double whole = a.square().sum(at::kDouble).item<double>();
  auto block = orthonormal(a.mm(start.to(a.device())));  // [out,columns]
  auto basis = block;                                    // [out,k], orthonormal
  auto rows = block.t().mm(a);                           // [k,in] = basis^T a
  for (double captured = 0; basis.size(1) + columns <= side;) {
    const double now = captured_by(rows, rank);
    if (now - captured <= kSmallestGain * whole) break;
    captured = now;
    block = a.mm(rows.slice(0, -columns).t());
    // Twice: once leaves rounding errors as large as what is new in the block.
    for (int pass = 0; pass < 2; ++pass) block = orthonormal(block - basis.mm(basis.t().mm(block)));
    basis = at::cat({basis, block}, 1);
    rows = at::cat({rows, block.t().mm(a)}, 0);
  }
  const auto [u, s, vh] = at::linalg_svd(rows, /*full_matrices=*/false);
  return {basis.mm(u.narrow(1, 0, rank)), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
}

}  // namespace

Svd product_svd(const at::Tensor& up, const at::Tensor& down) {
  LORAPTOR_ASSERT(up.dim() == 2 && down.dim() == 2 && up.size(1) == down.size(0));
  const auto [up_q, up_r] = at::linalg_qr(up.to(at::kDouble));                           // [out,k], [k,r]
  const auto [down_q, down_r] = at::linalg_qr(down.to(at::kDouble).t());                 // [in,l], [l,r]
  const auto [u, s, vh] = at::linalg_svd(up_r.mm(down_r.t()), /*full_matrices=*/false);  // of [k,l]
  return {up_q.mm(u), s, vh.mm(down_q.t())};
}

Svd leading_svd(const at::Tensor& matrix, int64_t rank, SvdMethod method) {
  LORAPTOR_ASSERT(matrix.dim() == 2 && rank >= 1);
  const int64_t side = std::min(matrix.size(0), matrix.size(1));
  rank = std::min(rank, side);
  // With blocks of nearly all columns the iteration has no advantage.
  const bool is_exact = method == SvdMethod::exact || side <= kExactSide || rank + kExtraColumns > side / 4;
  const at::Tensor floats = matrix.to(at::kFloat);
  return is_exact ? exact_svd(floats, rank) : iterative_svd(floats, rank);
}

double product_norm(const at::Tensor& up, const at::Tensor& down) {
  const auto a = down.flatten(1).to(at::kDouble), b = up.flatten(1).to(at::kDouble);
  // |BA|^2 = <B^T B, A A^T>
  return std::sqrt(std::max(b.t().mm(b).mul(a.mm(a.t())).sum().item<double>(), 0.0));
}

}  // namespace loraptor::network
