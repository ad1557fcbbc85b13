// All options of `train`, in the order of the help.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/option.h"

namespace loraptor::cli {

/// Every option; built once.
const std::vector<Option>& all_options();

/// The option of exactly this name (without dashes), or null.
const Option* find_option(std::string_view name);

/// Names of all options, without dashes.
const std::vector<std::string>& option_names();

// The tables, a file each.
std::vector<Option> model_options();
std::vector<Option> dataset_options();
std::vector<Option> network_options();
std::vector<Option> optimizer_options();
std::vector<Option> flow_options();
std::vector<Option> memory_options();
std::vector<Option> saving_options();
std::vector<Option> logging_options();
std::vector<Option> sampling_options();
std::vector<Option> caching_options();
std::vector<Option> loop_options();
std::vector<Option> unsupported_options();

}  // namespace loraptor::cli
