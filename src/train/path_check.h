// Files and folders that the settings name, looked at before anything is read.
#pragma once

#include <string>
#include <vector>

#include "train/train_config.h"

namespace loraptor::train {

/// What is wrong with the names themselves: those that are empty, each with its flag, and a list of images without
/// their folder. Looks at no file.
std::vector<std::string> empty_paths(const TrainConfig& config);

/// Folders of training images and files that are read late, after models and images, which are not there. A missing
/// folder of regularisation images is only warned about, as the reference trains without.
std::vector<std::string> missing_files(const TrainConfig& config);

}  // namespace loraptor::train
