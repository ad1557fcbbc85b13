#include "network/low_rank.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "tensor/rng.h"

namespace loraptor::network {
namespace {

constexpr int64_t kExtraColumns = 16;  // of the random block, beyond the rank
constexpr int kMaxRounds = 40;
constexpr double kSmallestGain = 1e-7;

Svd exact_svd(const at::Tensor& matrix, int64_t rank) {
  const auto [u, s, vh] = at::linalg_svd(matrix.to(at::kDouble), /*full_matrices=*/false);
  return {u.narrow(1, 0, rank), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
}

at::Tensor orthonormal(const at::Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

/// Subspace iteration. A round multiplies by the matrix twice; what is captured can only grow.
Svd iterative_svd(const at::Tensor& a, int64_t rank) {
  const int64_t columns = std::min({2 * rank + kExtraColumns, a.size(0), a.size(1)});
  const auto start = tensor::CounterRng(0).normal({tensor::Purpose::lora_init}, {a.size(1), columns});
  auto q = orthonormal(a.mm(start.to(a.device())));  // [out,columns]
  const double whole = a.norm().item<double>() * a.norm().item<double>();
  double captured = 0;
  at::Tensor b;
  Svd small;
  for (int round = 0; round < kMaxRounds; ++round) {
    b = q.t().mm(a);  // [columns,in]
    const auto [u, s, vh] = at::linalg_svd(b, /*full_matrices=*/false);
    small = {u.narrow(1, 0, rank), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
    const double now = small.s.square().sum().item<double>();
    if (now - captured <= kSmallestGain * whole) break;
    captured = now;
    q = orthonormal(a.mm(orthonormal(b.t())));
  }
  return {q.mm(small.u), small.s, small.vh};
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
  // With a block of nearly all columns the iteration has no advantage.
  const bool is_exact = method == SvdMethod::exact || side <= kExactSide || 2 * rank + kExtraColumns > side / 2;
  const at::Tensor floats = matrix.to(at::kFloat);
  return is_exact ? exact_svd(floats, rank) : iterative_svd(floats, rank);
}

double product_norm(const at::Tensor& up, const at::Tensor& down) {
  const auto a = down.flatten(1).to(at::kDouble), b = up.flatten(1).to(at::kDouble);
  // |BA|^2 = <B^T B, A A^T>
  return std::sqrt(std::max(b.t().mm(b).mul(a.mm(a.t())).sum().item<double>(), 0.0));
}

}  // namespace loraptor::network
