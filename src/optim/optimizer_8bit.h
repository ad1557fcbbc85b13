// Optimizers with 8-bit states, after bitsandbytes; and its AdamW with 32-bit states.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// States of tensors with fewer than `min_8bit_size` (4096) elements stay float32. Elements whose gradient is not
/// finite get zero states and keep their value. Decay comes before the step. States are rounded to the nearest table
/// entry; the step itself uses the unrounded ones. There is no paging: states lie where the parameters lie.
///
/// AdamW8bit, PagedAdamW8bit: betas (0.9, 0.999), eps 1e-8, weight_decay 0.01. p *= 1 - lr*weight_decay, then
/// p -= lr * b2/b1 * m / (sqrt(v) + eps*b2), b1 = 1 - beta1^t, b2 = sqrt(1 - beta2^t).
/// Ref: arXiv:2110.02861; bitsandbytes 0.50 optim/adamw.py.
std::unique_ptr<Optimizer> make_adamw_8bit(OptimizerRequest& request);

/// PagedAdamW, PagedAdamW32bit: the same in float32 for all tensors.
std::unique_ptr<Optimizer> make_adamw_32bit(OptimizerRequest& request);

/// Lion8bit, PagedLion8bit: betas (0.9, 0.99), weight_decay 0.
std::unique_ptr<Optimizer> make_lion_8bit(OptimizerRequest& request);

/// SGDNesterov8bit: b = momentum*b + g + weight_decay*p, p -= lr*b. Momentum 0.9 unless given. As in the reference
/// there is no Nesterov step, in spite of the name.
std::unique_ptr<Optimizer> make_sgd_8bit(OptimizerRequest& request);

/// AdEMAMix8bit, AdEMAMix: betas (0.9, 0.999, 0.9999), alpha 5, t_alpha None, t_beta3 None, eps 1e-8, weight_decay
/// 0.01. Ref: arXiv:2409.03137; bitsandbytes optim/ademamix.py.
std::unique_ptr<Optimizer> make_ademamix_8bit(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_ademamix_32bit(OptimizerRequest& request);

}  // namespace loraptor::optim
