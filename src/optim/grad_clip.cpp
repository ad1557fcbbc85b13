// Clipping of gradients to a global 2-norm.
#include "optim/grad_clip.h"

#include <cmath>

#include "optim/long_sums.h"

namespace loraptor::optim {

double grad_norm(at::TensorList flat_grads) {
  at::NoGradGuard no_grad;
  if (flat_grads.empty()) return 0;
  std::vector<at::Tensor> norms;
  for (const auto& grad : flat_grads) norms.push_back(long_norm(grad));
  return at::linalg_vector_norm(at::stack(norms), 2).item<double>();
}

double clip_grad_norm(at::TensorList flat_grads, double max_norm, double scale) {
  at::NoGradGuard no_grad;
  const double norm = grad_norm(flat_grads) / scale;
  double factor = 1 / scale;
  if (max_norm > 0) factor *= std::min(1.0, max_norm / (norm + 1e-6));
  // A factor of one would only cost a pass over memory; NaN times anything stays NaN.
  if (factor == 1 || !std::isfinite(norm)) return norm;
  for (const auto& grad : flat_grads) grad.mul_(factor);
  return norm;
}

}  // namespace loraptor::optim
