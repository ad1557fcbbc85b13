// The text of --help and of docs/options.md, both made from the option tables.
#pragma once

#include <string>
#include <vector>

#include "cli/option.h"

namespace loraptor::cli {

/// A few lines that say how to call the program.
///   command   what was asked for, if it was a command; else training is meant
std::string usage_text(const std::string& command = "");

/// All options by group, at most 100 columns wide. Additions to the reference are marked with '+'.
std::string help_text();

/// The options of one command, in order, like help_text().
std::string options_help(const std::vector<Option>& options);

/// All options by group as Markdown tables, with type, default, choices and what this version does with them.
std::string options_markdown();

}  // namespace loraptor::cli
