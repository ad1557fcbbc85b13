// What is set once for the whole process before anything is loaded.
#pragma once

#include <ATen/ATen.h>

#include "dist/world.h"
#include "train/train_config.h"

namespace loraptor::train {

/// Threads, precision of products, determinism; says which device is used. With several processes on one machine each
/// takes the GPU of its local rank.
/// Throws UsageError if a GPU is asked for that is not there.
at::Device set_up_process(const TrainConfig& config, const dist::World& world);

}  // namespace loraptor::train
