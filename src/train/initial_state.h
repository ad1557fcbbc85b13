// Where a run begins: at its start, where a saved state stands, or where --initial_step and --initial_epoch say.
#pragma once

#include <optional>

#include "train/train_plan.h"
#include "train/train_state.h"

namespace loraptor::train {

/// The position the loop starts from. --initial_step wins over --initial_epoch, which wins over the resumed state.
/// Steps keep their true numbers. With --skip_until_initial_step the batches before the step are left out; without it
/// the epoch that the step lies in is trained from its beginning. The learning-rate schedule goes on only where
/// a resumed state says so.
/// Throws UsageError if no step is left.
/// Ref: sd-scripts@48d368f train_network.py:train (initial_step), with the step counter mended.
TrainState initial_state(const LoopConfig& loop, const TrainPlan& plan, const std::optional<TrainState>& resumed);

}  // namespace loraptor::train
