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

/// Columns [n,k] of length 1, in float64; zeros stay zeros.
at::Tensor unit_columns(const at::Tensor& columns) {
  const auto wide = columns.to(at::kDouble);
  const auto lengths = wide.norm(2, /*dim=*/0);
  return wide / lengths.masked_fill(lengths == 0, 1);
}

/// An orthonormal basis [n,<=k] of the columns [n,k], in float64, without the directions that they have no more of than
/// rounding errors. By Cholesky's decomposition of their products, which needs no more than products of thin matrices.
/// Twice, as once leaves rounding errors times the squared condition.
///   columns   of a length near 1 before what they share with others was taken off
/// Ref: Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, ETNA 44 (2015), "Roundoff error analysis of the CholeskyQR2
/// algorithm".
at::Tensor orthonormal(const at::Tensor& columns) {
  constexpr double kRoundingErrors = 1e-7;  // the columns come from products in float32
  auto basis = columns;
  for (int pass = 0; pass < 2 && basis.size(1) > 0; ++pass) {
    const auto products = basis.t().mm(basis);
    const auto [factor, info] = at::linalg_cholesky_ex(products, /*upper=*/true);
    if (info.item<int>() == 0 && factor.diagonal().min().item<double>() > kRoundingErrors) {
      basis = at::linalg_solve_triangular(factor, basis, /*upper=*/true, /*left=*/false);
      continue;
    }
    // Columns that depend on each other: the eigenvectors of their products tell which directions there are.
    const auto [squares, vectors] = at::linalg_eigh(products);
    const int64_t kept = (squares > kRoundingErrors * kRoundingErrors).sum().item<int64_t>();
    const int64_t dropped = squares.size(0) - kept;
    basis = basis.mm(vectors.slice(1, dropped)) / squares.slice(0, dropped).sqrt();
  }
  return basis;
}

/// Eigenvalues, ascending, and eigenvectors of rows rows^T, in float64.
std::tuple<at::Tensor, at::Tensor> gram_eigen(const at::Tensor& rows) {
  const auto wide = rows.to(at::kDouble);
  return at::linalg_eigh(wide.mm(wide.t()));
}

/// The leading decomposition of basis * rows, with the eigenvectors of rows rows^T; of the rank of the basis where that
/// is lower.
Svd leading_part(const at::Tensor& basis, const at::Tensor& rows, const at::Tensor& values, const at::Tensor& vectors,
                 int64_t rank) {
  constexpr double kLeastShare = 1e-10;  // of the squared greatest singular value; below, its square root is imprecise
  const auto squares = values.slice(0, -rank).flip(0);
  if (!(squares[-1].item<double>() > kLeastShare * squares[0].item<double>())) {
    const auto [u, s, vh] = at::linalg_svd(rows.to(at::kDouble), /*full_matrices=*/false);
    return {basis.mm(u.slice(1, 0, rank)), s.slice(0, 0, rank), vh.slice(0, 0, rank)};
  }
  const auto u = vectors.slice(1, -rank).flip(1), s = squares.sqrt();
  return {basis.mm(u), s, u.t().mm(rows.to(at::kDouble)) / s.unsqueeze(1)};
}

Svd zero_svd(const at::Tensor& a, int64_t rank) {
  return {at::zeros({a.size(0), rank}, a.options()), at::zeros({rank}, a.options()),
          at::zeros({rank, a.size(1)}, a.options())};
}

/// Block Krylov iteration: the space of all blocks made so far, A X, (A A^T) A X …, is searched, not the last one
/// alone, which takes far fewer products with a flat spectrum than a subspace iteration does.
Svd iterative_svd(const at::Tensor& a, int64_t rank) {
  const int64_t side = std::min(a.size(0), a.size(1)), columns = std::min(rank + kExtraColumns, side);
  const auto start = tensor::CounterRng(0).normal({tensor::Purpose::lora_init}, {a.size(1), columns});
  const double whole = at::dot(a.flatten(), a.flatten()).item<double>();
  // Thin matrices are float64, the products with `a` float32.
  auto block = orthonormal(unit_columns(a.mm(start.to(a.device()))));  // [out,<=columns]
  if (block.size(1) == 0) return zero_svd(a, rank);
  auto basis = block;                          // [out,k], orthonormal
  auto rows = block.t().to(at::kFloat).mm(a);  // [k,in] = basis^T a
  auto [values, vectors] = gram_eigen(rows);
  double captured = 0;
  for (;;) {
    // The part of the squared norm that the greatest singular values of what was found so far hold.
    const double now = values.slice(0, -rank).sum().item<double>();
    if (now - captured <= kSmallestGain * whole || basis.size(1) + columns > side) break;
    captured = now;
    block = unit_columns(a.mm(rows.slice(0, -columns).t()));
    // Twice: once leaves rounding errors as large as what is new in the block.
    for (int pass = 0; pass < 2; ++pass) block = orthonormal(block - basis.mm(basis.t().mm(block)));
    if (block.size(1) == 0) break;  // the basis spans all that the matrix has
    basis = at::cat({basis, block}, 1);
    rows = at::cat({rows, block.t().to(at::kFloat).mm(a)}, 0);
    std::tie(values, vectors) = gram_eigen(rows);
  }
  const Svd svd = leading_part(basis, rows, values, vectors, rank);
  // A matrix of a lower rank: the rest of the decomposition is zero.
  const int64_t missing = rank - svd.s.size(0);
  return {at::constant_pad_nd(svd.u.to(at::kFloat), {0, missing}),
          at::constant_pad_nd(svd.s.to(at::kFloat), {0, missing}),
          at::constant_pad_nd(svd.vh.to(at::kFloat), {0, 0, 0, missing})};
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
