// Numbers that follow from the settings and the size of the data set: steps, epochs, when to save.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "train/train_config.h"

namespace loraptor::train {

struct TrainPlan {
  int64_t batches_per_epoch;  // micro-steps per epoch, of all processes together
  int64_t accumulation;       // micro-steps per optimizer step, likewise; the last group of an epoch may be shorter
  int64_t steps_per_epoch;    // optimizer steps per epoch
  int64_t max_steps;          // optimizer steps of the whole run
  int64_t epochs;             // epochs begun
  std::optional<int64_t> save_every_n_epochs;
  int64_t processes = 1;          // that share out the batches of a step
  bool ends_with_epochs = false;  // after the last epoch, however few steps were counted (`--kohya_compat step_count`)

  /// Whether a run that stands at the end of `epoch` has nothing left to train.
  bool is_over(int64_t step, int64_t epoch) const { return step >= max_steps || (ends_with_epochs && epoch >= epochs); }

  /// Whether the optimizer steps after this batch (0-based in its epoch).
  bool is_sync_point(int64_t batch) const { return (batch + 1) % accumulation == 0 || batch + 1 == batches_per_epoch; }
  /// How many batches are computed side by side from this one on: one a process, none beyond the optimizer step.
  int64_t round(int64_t batch) const {
    return std::min({processes, accumulation - batch % accumulation, batches_per_epoch - batch});
  }
  /// Optimizer steps done once `batches` batches of an epoch are done.
  int64_t steps_in(int64_t batches) const {
    return batches == batches_per_epoch ? steps_per_epoch : batches / accumulation;
  }
};

/// A step takes gradient_accumulation_steps batches of each process, so a run of two processes equals one process with
/// twice the accumulation.
/// Ref: sd-scripts@48d368f train_network.py:train (max_train_steps, num_train_epochs, save_n_epoch_ratio).
/// Throws UsageError if the data set is empty.
TrainPlan make_train_plan(const TrainConfig& config, int64_t batches_per_epoch, int64_t processes = 1);

}  // namespace loraptor::train
