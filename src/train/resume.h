// Reads a state that checkpoint.h wrote, so that a run goes on as if it had never stopped.
#pragma once

#include <filesystem>
#include <optional>

#include "network/network.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "train/train_state.h"

namespace loraptor::train {

/// Reads the position and seed of a state without touching any model.
/// A folder of the reference's trainer (pickled states) gives only weights and the step: nullopt, after saying so.
/// Throws FileError if the folder is missing or incomplete.
std::optional<TrainState> read_train_state(const std::filesystem::path& folder);

/// Restores weights, optimizer and loss scale. Throws FileError or UsageError where the state does not fit the run.
void restore(const std::filesystem::path& folder, network::Network& network, optim::Optimizer& optimizer,
             optim::GradScaler& scaler);

}  // namespace loraptor::train
