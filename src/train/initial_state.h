// Where a run begins: at its start, where a saved state stands, or where --initial_step and --initial_epoch say.
#pragma once

#include <optional>

#include "train/train_plan.h"
#include "train/train_state.h"

namespace loraptor::train {

/// The position the loop starts from. --initial_step wins over --initial_epoch, which wins over the resumed state.
/// Steps keep their true numbers. With --skip_until_initial_step the batches before the step are left out; without it
/// the epoch that the step lies in is trained from its beginning; so too where another trainer's state tells only its
/// step. The learning-rate schedule goes on only where a resumed state says so.
///   counts_from_0   `--kohya_compat step_count`: unless batches are skipped a resumed run too trains the epoch of its
///                   step from the beginning, and steps count from 0; --auto_resume goes on as ever
/// Throws UsageError if no step is left; a state at the very end is only refused beyond it (see is_finished).
/// Ref: sd-scripts@48d368f train_network.py:train (initial_step), with the step counter mended.
TrainState initial_state(const LoopConfig& loop, const TrainPlan& plan, const std::optional<TrainState>& resumed,
                         bool counts_from_0 = false);

}  // namespace loraptor::train
