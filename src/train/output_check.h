// Whether all that a run writes can be written, asked before hours go into it.
#pragma once

#include "train/train_config.h"

namespace loraptor::train {

/// Makes for a moment, in the folder of each of models, states, sample images and logs, a file with a name like those
/// of the run; folders that it had to make go again. A pipe or device that takes --log_json is left alone. Throws
/// FileError naming the flags for a folder or name that cannot be used.
void check_outputs(const TrainConfig& config);

}  // namespace loraptor::train
