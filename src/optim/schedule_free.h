// Schedule-free optimizers: averaging of iterates in place of a learning-rate schedule.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// The parameters hold the training point y; z is extra state. eval() puts the averaged point x = y + (1 - 1/beta1)(z -
/// y) into the parameters and keeps y aside, so train() returns to exactly the same y. Saved states hold y and z;
/// loading one puts y into the parameters, whatever they held.
///
/// AdamWScheduleFree: betas (0.9, 0.999), eps 1e-8, weight_decay 0, warmup_steps 0, r 0, weight_lr_power 2.
/// Ref: arXiv:2405.15682; schedulefree 1.4.
std::unique_ptr<Optimizer> make_adamw_schedule_free(OptimizerRequest& request);

/// RAdamScheduleFree: betas (0.9, 0.999), eps 1e-8, weight_decay 0, r 0, weight_lr_power 2, silent_sgd_phase True.
std::unique_ptr<Optimizer> make_radam_schedule_free(OptimizerRequest& request);

/// SGDScheduleFree: momentum 0.9, weight_decay 0, warmup_steps 0, r 0, weight_lr_power 2.
std::unique_ptr<Optimizer> make_sgd_schedule_free(OptimizerRequest& request);

}  // namespace loraptor::optim
