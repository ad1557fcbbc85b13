// The learning rate that the flags give each model.
#pragma once

#include "network/network.h"

namespace loraptor::network {

/// Learning rate of a model's modules, 0 if none.
double rate_of(const LearningRates& rates, TargetModel model);

}  // namespace loraptor::network
