// The D-Adaptation family: optimizers that estimate the distance to the solution, and with it their step size.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Common arguments: weight_decay, d0 1e-6, growth_rate inf. Base learning rates should be 1 and equal in all groups
/// (the AdaGrad and Adan variants take the first group's). Statistic: "d". Ref: arXiv:2301.07733; dadaptation 3.2.

/// betas (0.9, 0.999), eps 1e-8, weight_decay 0, decouple False, use_bias_correction False.
std::unique_ptr<Optimizer> make_dadapt_adam(OptimizerRequest& request);
/// As described in the paper's first version; also what the name DAdaptation means.
std::unique_ptr<Optimizer> make_dadapt_adam_preprint(OptimizerRequest& request);
/// betas (0.9, 0.99), weight_decay 0.
std::unique_ptr<Optimizer> make_dadapt_lion(OptimizerRequest& request);
/// momentum 0, weight_decay 0.
std::unique_ptr<Optimizer> make_dadapt_sgd(OptimizerRequest& request);
/// momentum 0, weight_decay 0, eps 1e-6.
std::unique_ptr<Optimizer> make_dadapt_adagrad(OptimizerRequest& request);
/// betas (0.98, 0.92, 0.99), eps 1e-8, weight_decay 0.02, no_prox False.
std::unique_ptr<Optimizer> make_dadapt_adan(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_dadapt_adan_ip(OptimizerRequest& request);

}  // namespace loraptor::optim
