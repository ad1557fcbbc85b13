// Adam and AdamW in float32, on whole groups at a time.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// AdamW: decay p *= 1 - lr*weight_decay, then Adam with bias correction.
/// Arguments: betas (0.9, 0.999), eps 1e-8, weight_decay 0.01, amsgrad False, maximize False.
/// Ref: arXiv:1711.05101; torch.optim.AdamW.
std::unique_ptr<Optimizer> make_adamw(OptimizerRequest& request);

/// Adam: the same with the decay added to the gradient; weight_decay 0.
/// Ref: arXiv:1412.6980; torch.optim.Adam.
std::unique_ptr<Optimizer> make_adam(OptimizerRequest& request);

}  // namespace loraptor::optim
