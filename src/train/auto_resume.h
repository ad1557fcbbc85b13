// --auto_resume: the same command in a folder with an unfinished run goes on with it.
#pragma once

#include <filesystem>
#include <optional>

#include "train/train_config.h"
#include "train/train_plan.h"
#include "train/train_state.h"

namespace loraptor::train {

/// The state of this run in its output folder that was saved last. States that are incomplete, damaged or of
/// another trainer are named and passed over. Nothing if there is none.
std::optional<std::filesystem::path> newest_state(const SaveConfig& saving);

/// Makes `config` resume from the newest state, if there is one: it wins over --resume, --initial_step and
/// --initial_epoch, which then say how the run began. Removes what dead processes left half written.
/// Throws UsageError for a state of another trainer that this run would replace, unless --resume names it.
void choose_state(TrainConfig& config);

/// Whether the state that is resumed has all steps and all that follows them, and the LoRA is there: then nothing is
/// done, and no file touched. Says so.
bool is_finished(const TrainConfig& config, const TrainPlan& plan, const TrainState& start);

}  // namespace loraptor::train
