// The words of a command line, by the rules of Python's argparse.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/option.h"

namespace loraptor::cli {

/// One option as it was given, by a command line or a configuration file.
struct Given {
  Value value;
  std::string origin;  // "command line", or the name of the file
};

/// Option name (no dashes) -> what was given for it.
using GivenOptions = std::map<std::string, Given>;

struct ParsedWords {
  GivenOptions options;
  bool wants_help = false;           // -h or --help, also abbreviated, was among the words; then `options` is empty
  std::vector<std::string> plain{};  // words that are no option and no value of one, where they are allowed
};

/// Reads `words` (without the program's name) as options of `train`:
/// `--name value`, `--name=value`; a prefix that fits one option stands for it, an exact name always wins, and own
/// additions never make a prefix of a reference option ambiguous; flags take no value; lists take all words up to the
/// next option, none is an empty list, `=` gives a list of one, and a later list replaces an earlier one; the last of
/// repeated options wins; -5 and -0.5 are values, so is a word with a blank; any other word with a dash is an option.
/// Throws UsageError with all problems found: unknown or ambiguous options (with the nearest names), missing or wrong
/// values, stray words.
ParsedWords parse_words(const std::vector<std::string>& words);

/// The same grammar with the options of another command.
///   allow_plain   words that belong to no option go to `plain` instead of being refused
ParsedWords parse_words(const std::vector<std::string>& words, const std::vector<Option>& options, bool allow_plain);

}  // namespace loraptor::cli
