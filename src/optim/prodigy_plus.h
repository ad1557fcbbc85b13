// ProdigyPlusScheduleFree: Prodigy's step size, schedule-free averaging, factored second moments.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Arguments: betas (0.9, 0.99), beta3 None (sqrt(beta2)), eps 1e-8, weight_decay 0 (times the learning rate), d0 1e-6,
/// d_coef 1, split_groups True, split_groups_mean True, factored True, use_stableadamw True. Statistic: "d".
/// Ref: prodigy-plus-schedule-free 1.9.2.
std::unique_ptr<Optimizer> make_prodigy_plus(OptimizerRequest& request);

}  // namespace loraptor::optim
