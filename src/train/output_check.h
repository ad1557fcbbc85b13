// Whether all that a run writes can be written, asked before hours go into it.
#pragma once

#include "train/train_config.h"

namespace loraptor::train {

/// Makes the folders of models, states, sample images and logs, and in each for a moment a file with a name like those
/// of the run. Throws FileError naming the flags for a folder or name that cannot be used.
void check_outputs(const TrainConfig& config);

}  // namespace loraptor::train
