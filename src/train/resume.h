// Reads a state that checkpoint.h wrote, so that a run goes on as if it had never stopped.
#pragma once

#include <filesystem>

#include "train/run_identity.h"
#include "train/run_parts.h"
#include "train/train_state.h"

namespace loraptor::train {

/// Reads the position and seed of a state without touching any model. Its files are compared with their checksums.
/// A folder of the reference's trainer (pickled states) gives only weights and the step, 0 if it does not tell. Throws
/// FileError if the folder is missing, incomplete or damaged.
TrainState read_train_state(const std::filesystem::path& folder);

/// Warns, in one line, of everything that differs between the run that saved the state and this one; of a state of
/// another trainer it says what of it is used.
///   data   see data_identity; states of older versions have none and are not compared
void report_differences(const std::filesystem::path& folder, const RunIdentity& identity, const RunIdentity& data);

/// Restores weights, optimizer, loss scale, weight average and, with losses of an unfinished step in `state`, its
/// gradients. Throws FileError or UsageError where the files do not fit the run.
void restore(const std::filesystem::path& folder, const TrainState& state, const RunParts& parts);

}  // namespace loraptor::train
