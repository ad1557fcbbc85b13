// Which files are written when, under which names, and which older ones are removed then.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "train/train_plan.h"

namespace loraptor::train {

/// What to write and remove at one moment. Names are relative to the output folder.
struct SaveDecision {
  std::string model;                        // file name; empty: nothing is saved
  std::optional<std::string> state;         // folder name
  std::optional<std::string> remove_model;  // removed if it exists, after the new one is there
  std::optional<std::string> remove_state;
};

/// After optimizer step `step` (from 1). Ref: sd-scripts@48d368f library/train_util.py:get_remove_step_no.
SaveDecision save_after_step(const SaveConfig& config, int64_t step);

/// After epoch `epoch` (from 1); the last epoch is covered by save_at_end.
/// Ref: sd-scripts@48d368f library/train_util.py:get_remove_epoch_no.
SaveDecision save_after_epoch(const SaveConfig& config, const TrainPlan& plan, int64_t epoch);

SaveDecision save_at_end(const SaveConfig& config);

}  // namespace loraptor::train
