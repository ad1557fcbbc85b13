// Which files are written when, under which names, and which older ones are removed then.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/train_plan.h"

namespace loraptor::train {

/// What to write and remove at one moment. Names are relative to the output folder.
struct SaveDecision {
  std::string model;                        // file name; empty: none
  std::optional<std::string> state;         // folder name
  std::optional<std::string> remove_model;  // removed if it exists, after the new one is there
  std::optional<std::string> remove_state;
};

/// After optimizer step `step` (from 1). Ref: sd-scripts@48d368f library/train_util.py:get_remove_step_no.
SaveDecision save_after_step(const SaveConfig& config, int64_t step);

/// After epoch `epoch` (from 1); the last epoch is covered by save_at_end.
/// Ref: sd-scripts@48d368f library/train_util.py:get_remove_epoch_no.
SaveDecision save_after_epoch(const SaveConfig& config, const TrainPlan& plan, int64_t epoch);

/// The final files; those of a recovery go then.
SaveDecision save_at_end(const SaveConfig& config);

/// When a run is stopped before its end: LoRA and state as they are, under names of their own.
SaveDecision save_at_stop(const SaveConfig& config);

/// From time to time with --auto_resume: the state of save_at_stop alone.
SaveDecision save_for_recovery(const SaveConfig& config);

/// Whether a folder of this name is a state of a run with these settings.
bool is_state_name(const SaveConfig& config, const std::string& folder);

/// Whether such a run may write a state over the one of this name, or remove it.
///   folder   a name of is_state_name
bool may_replace_state(const SaveConfig& config, const std::string& folder);

/// What the names of all files of such a run begin with, temporary ones included: one of these.
std::vector<std::string> name_stems(const SaveConfig& config);

/// "cat.safetensors" -> "cat_ema.safetensors".
std::string average_file(const std::string& model);

}  // namespace loraptor::train
