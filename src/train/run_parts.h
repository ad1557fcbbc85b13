// The living objects whose values make up a state.
#pragma once

#include "network/network.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "train/weight_average.h"

namespace loraptor::train {

struct RunParts {
  network::Network& network;
  optim::Optimizer& optimizer;
  optim::GradScaler& scaler;
  WeightAverage* average;  // null without --ema_decay
};

}  // namespace loraptor::train
