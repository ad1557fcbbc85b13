// Several processes for one command.
#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "train/train_config.h"

namespace loraptor::cli {

/// Runs the same command in the processes that `--num_processes` asks for, and returns their exit status; nothing where
/// this process does it alone, or is one of several. Throws UsageError if WORLD_SIZE says something else.
std::optional<int> launch_if_asked(const std::string& command, const Words& words, const train::TrainConfig& config);

}  // namespace loraptor::cli
