// StableAdamW: AdamW with Adafactor's clipping of the update.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// The learning rate of a tensor is divided by max(1, rms(g / sqrt(max(v, eps^2)))); moments without bias correction
/// because their decay rates grow from 0. Arguments: betas (0.9, 0.99), eps 1e-8, weight_decay 0.01 (decoupled).
/// Ref: arXiv:2304.13013 algorithm 2; pytorch_optimizer.StableAdamW.
std::unique_ptr<Optimizer> make_stable_adamw(OptimizerRequest& request);

}  // namespace loraptor::optim
