// CAME: Adafactor whose update is weighted by how far it strays from its own average.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Arguments: betas (0.9, 0.999, 0.9999), eps1 1e-30, eps2 1e-16, clip_threshold 1, weight_decay 0 (decoupled).
/// Matrices keep row and column means; vectors keep a full second moment and no confidence.
/// Ref: arXiv:2307.02047 algorithm 2; pytorch_optimizer.CAME.
std::unique_ptr<Optimizer> make_came(OptimizerRequest& request);

}  // namespace loraptor::optim
