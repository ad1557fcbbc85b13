// Rules that span several settings: which combinations cannot work, and which settings imply others.
#pragma once

#include <string>
#include <vector>

#include "train/train_config.h"

namespace loraptor::train {

/// Changes the settings that others imply and returns what the user should be told about that:
/// a cache on disk is a cache; fp8_base_unet is fp8_base; use_8bit_adam and use_lion_optimizer are optimizer types;
/// caption_extention is caption_extension; sample_every_n_* <= 0 are unset; a data set file makes the folder options
/// moot; without a seed one is drawn from 0 ... 2^32-1 (then `origins` has no "seed"). Applying it again changes
/// nothing. Ref: sd-scripts@48d368f train_network.py, sd3_train_network.py:assert_extra_args, library/train_util.py.
std::vector<std::string> apply_implied_settings(TrainConfig& config);

/// Everything that is wrong and can be seen before a model or a data set is opened, each "[where] fact: ...".
std::vector<std::string> find_problems(const TrainConfig& config);

/// What the user should be told about settings that change nothing beside the others, such as options of another
/// schedule. `config` has no problems.
std::vector<std::string> find_unused_settings(const TrainConfig& config);

/// Applies what is implied, logs its warnings, throws UsageError with all problems, also folders of
/// training images that are not there.
void check_train_config(TrainConfig& config);

}  // namespace loraptor::train
