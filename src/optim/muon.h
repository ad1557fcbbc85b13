// Muon: momentum whose matrices are made orthogonal before they are applied.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Matrices (kernels flattened) follow Muon, other tensors AdamW with the same learning rate.
/// Arguments: weight_decay 0.1 (decoupled, of both), momentum 0.95, nesterov True, ns_coefficients
/// (3.4445, -4.7750, 2.0315), eps 1e-7, ns_steps 5, adjust_lr_fn "original" (lr * sqrt(max(1, rows / columns)), or
/// "match_rms_adamw" (lr * 0.2 sqrt(max(rows, columns)), which suits rates that are usual with AdamW); adamw_betas
/// (0.9, 0.95) and adamw_eps 1e-10. The iteration runs in float32, where torch.optim.Muon uses bfloat16.
/// Ref: Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon); torch.optim.Muon; arXiv:2502.16982 for the rms.
std::unique_ptr<Optimizer> make_muon(OptimizerRequest& request);

/// The Newton-Schulz iteration X <- a X + b (X X^T) X + c (X X^T)^2 X, from X = matrix / |matrix|: singular values of
/// the result [rows,columns] lie near 1.
///   eps   lower limit of |matrix|
at::Tensor orthogonalized(const at::Tensor& matrix, const std::array<double, 3>& coefficients, int64_t steps,
                          double eps);

}  // namespace loraptor::optim
