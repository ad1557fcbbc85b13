// From the words of the command line to the settings of a run.
#pragma once

#include <string>
#include <vector>

#include "cli/option_parse.h"

namespace loraptor::cli {

struct BuiltConfig {
  TrainConfig config;
  std::vector<std::string> warnings;  // to be logged once the log is set up
};

/// Settings in the order struct default < configuration file < command line, with the origin of each in
/// `config.origins`, and with the settings that others imply (train::apply_implied_settings). `config.recorded` gets
/// the values, given or default, of the options without effect that the metadata record. Throws UsageError with all
/// problems together: options of the command line or of the file that are refused, and
/// everything train::find_problems sees.
BuiltConfig build_config(const GivenOptions& command_line);

/// Table of the settings that are not defaults, one a line, with their origins.
std::string settings_text(const TrainConfig& config);

}  // namespace loraptor::cli
