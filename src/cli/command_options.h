// The options of one command, bound to the variables that they fill.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/command.h"
#include "cli/option.h"

namespace loraptor::cli {

/// A variable of a command that an option fills.
using Setting = std::variant<bool*, int64_t*, std::optional<int64_t>*, double*, std::optional<double>*, std::string*,
                             std::optional<std::string>*, std::vector<std::string>*, std::vector<double>*>;

class CommandOptions {
 public:
  /// usage   what follows "usage: loraptor "
  /// about   a few lines for the help, each with its line end
  CommandOptions(std::string usage, std::string about) : usage_(std::move(usage)), about_(std::move(about)) {}

  /// Adds an option; the value that the variable has now is the default. The variable must outlive `parse`.
  void add(const std::string& flag, Setting setting, std::string help, std::vector<std::string> choices = {});

  /// Where words without a flag go; without this call they are refused.
  void add_words(std::vector<std::string>& words) { words_ = &words; }

  /// Fills the variables (grammar: option_parse.h). Returns false after printing the help.
  /// Throws UsageError with all problems found.
  bool parse(const Words& words);

 private:
  std::string usage_, about_;
  std::vector<Option> options_;
  std::vector<Setting> settings_;
  std::vector<std::string>* words_ = nullptr;
};

/// The value of an option that must be given. Throws UsageError: "[flag] got nothing, expected WHAT."
const std::string& required(const std::optional<std::string>& value, const char* flag, const char* what);

/// The words "float", "fp16", "bf16", for options with a precision.
std::vector<std::string> precision_names();

}  // namespace loraptor::cli
