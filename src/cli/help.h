// The text of --help and of docs/options.md, both made from the option tables.
#pragma once

#include <string>
#include <vector>

#include "cli/option.h"

namespace loraptor::cli {

/// One line that says how to call the program.
std::string usage_text();

/// All options by group, at most 100 columns wide. Additions to the reference are marked with '+'.
std::string help_text();

/// The options of one command, in order, like help_text().
std::string options_help(const std::vector<Option>& options);

/// All options by group as Markdown tables, with type, default, choices and what this version does with them.
std::string options_markdown();

}  // namespace loraptor::cli
