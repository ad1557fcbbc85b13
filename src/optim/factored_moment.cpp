#include "optim/factored_moment.h"

#include <cmath>

namespace loraptor::optim {

std::vector<int64_t> row_means_shape(at::IntArrayRef sizes) {
  auto shape = sizes.vec();
  shape.pop_back();
  return shape;
}

std::vector<int64_t> column_means_shape(at::IntArrayRef sizes) {
  auto shape = sizes.vec();
  shape.erase(shape.end() - 2);
  return shape;
}

void update_means(at::Tensor& rows, at::Tensor& columns, const at::Tensor& square, double keep) {
  rows.mul_(keep).add_(square.mean(-1), 1 - keep);
  columns.mul_(keep).add_(square.mean(-2), 1 - keep);
}

at::Tensor inverse_root(const at::Tensor& rows, const at::Tensor& columns) {
  const auto r = (rows / rows.mean(-1, /*keepdim=*/true)).rsqrt_().unsqueeze(-1);
  return r.mul(columns.unsqueeze(-2).rsqrt());
}

double rms(const at::Tensor& x) {
  return (at::linalg_vector_norm(x, 2) / std::sqrt(static_cast<double>(x.numel()))).item<double>();
}

}  // namespace loraptor::optim
