// Singular value decompositions for LoRA: of a product of two thin matrices, and of a matrix that is nearly of low
// rank.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace loraptor::network {

/// The greatest singular values of a matrix [out,in] and their vectors: u diag(s) vh is the nearest matrix of that
/// rank.
struct Svd {
  at::Tensor u;   // [out,k], orthonormal columns; some may be zero where s is
  at::Tensor s;   // [k], descending
  at::Tensor vh;  // [k,in], orthonormal rows; likewise
};

/// The decomposition of up * down without forming the product: both are cut into orthonormal and triangular parts, and
/// only the product of the triangles [r,r] is decomposed. In float64.
///   up, down   [out,r], [r,in], any float dtype
/// Returns min(out,r,in) values, float64.
/// Ref: Golub, Van Loan, Matrix Computations, 4th ed., §5.2 and §8.6.
Svd product_svd(const at::Tensor& up, const at::Tensor& down);

/// Which method `leading_svd` takes.
enum class SvdMethod {
  automatic,  // exact where the shorter side is at most kExactSide, else iterative
  exact,
};
inline constexpr int64_t kExactSide = 512;

/// The `rank` greatest singular values of a matrix, in float32 (float64 where it is exact).
///   matrix   [out,in] float32
///   rank     at least 1; at most the shorter side is used
/// The iterative method multiplies a random block by the matrix and its transpose, keeps what comes out, and stops when
/// the part of the squared norm that it has captured grows by less than 1e-7 of the whole a round, so the error is the
/// best possible one up to that. The random block is the same in every run.
/// Ref: Musco, Musco, arXiv:1504.05477, algorithm 2 (block Krylov iteration).
Svd leading_svd(const at::Tensor& matrix, int64_t rank, SvdMethod method = SvdMethod::automatic);

/// Frobenius norm of up * down, without forming the product.
double product_norm(const at::Tensor& up, const at::Tensor& down);

}  // namespace loraptor::network
