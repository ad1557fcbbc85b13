// The learning rates that the flags give each model.
#pragma once

#include <vector>

#include "network/network.h"
#include "network/network_args.h"

namespace loraptor::network {

/// Whether the flags let a model's modules be trained.
bool is_trained(const NetworkConfig& config, TargetModel model);

/// Learning rate of a model's modules, 0 if none.
double rate_of(const LearningRates& rates, TargetModel model);

/// Learning rates of a model's groups: none where the rate is 0 or unset, one, or with LoRA+ two, the second for the
/// up matrices.
std::vector<double> group_rates(const NetworkArgs& args, const LearningRates& rates, TargetModel model);

/// Those of all models that are trained, in the order of Network::param_groups; needs no model. Throws UsageError for
/// malformed network_args.
std::vector<double> all_group_rates(const NetworkConfig& config, const LearningRates& rates);

}  // namespace loraptor::network
