// Console and log file as the options ask for them.
#pragma once

#include "base/log.h"
#include "train/train_config.h"

namespace loraptor::cli {

/// Of several processes only the main one logs more than errors.
log::LogConfig log_config(const train::LoggingConfig& logging);

}  // namespace loraptor::cli
