// Prodigy: Adam that estimates its own step size.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Arguments: betas (0.9, 0.999), beta3 None (sqrt(beta2)), eps 1e-8, weight_decay 0, decouple True,
/// use_bias_correction False, safeguard_warmup False, d0 1e-6, d_coef 1, growth_rate inf, slice_p 1.
/// Groups with learning rate 0 rest; the others must have one common rate. Statistics: "d", "d_max", "d_hat", "k".
/// Ref: arXiv:2306.06101; prodigyopt 1.1.2.
std::unique_ptr<Optimizer> make_prodigy(OptimizerRequest& request);

/// What Prodigy and ProdigyPlusScheduleFree share.
struct ProdigySettings {
  double beta1, beta2, beta3, eps, weight_decay, d0, d_coef;
};

/// Reads betas (0.9, beta2), beta3, eps, weight_decay, d0 and d_coef. Throws UsageError unless d0 > 0.
ProdigySettings read_prodigy_settings(KeywordArgs& args, double beta2);

/// The common learning rate of all groups that have one. Throws UsageError if two differ: optimizers that estimate
/// their step size cannot work with different rates.
double common_rate(const std::vector<double>& lrs, const std::string& class_name);

}  // namespace loraptor::optim
