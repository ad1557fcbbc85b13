#include "optim/long_sums.h"

#include <algorithm>

#include "base/error.h"

namespace loraptor::optim {
namespace {

constexpr int64_t kPiece = 1024;        // elements whose norm is taken in float32
constexpr int64_t kDotPiece = 1 << 18;  // elements that are converted together

}  // namespace

at::Tensor long_norm(const at::Tensor& flat) {
  LORAPTOR_ASSERT(flat.dim() == 1);
  const int64_t whole = flat.numel() / kPiece * kPiece;
  const auto rows = at::linalg_vector_norm(flat.narrow(0, 0, whole).view({-1, kPiece}), 2, {1}, false, at::kFloat);
  const auto rest = at::linalg_vector_norm(flat.narrow(0, whole, flat.numel() - whole), 2, {}, false, at::kFloat);
  return at::linalg_vector_norm(at::cat({rows, rest.view({1})}).to(at::kDouble), 2);
}

double long_dot(const at::Tensor& a, const at::Tensor& b) {
  LORAPTOR_ASSERT(a.dim() == 1 && a.sizes() == b.sizes());
  if (!a.device().is_cpu()) return at::dot(a, b).item<double>();  // there it is a tree of sums
  double sum = 0;
  for (int64_t begin = 0; begin < a.numel(); begin += kDotPiece) {
    const int64_t count = std::min(kDotPiece, a.numel() - begin);
    sum += at::dot(a.narrow(0, begin, count).to(at::kDouble), b.narrow(0, begin, count).to(at::kDouble)).item<double>();
  }
  return sum;
}

}  // namespace loraptor::optim
