// The program's commands: `loraptor NAME ...`.
#pragma once

#include <string>
#include <vector>

namespace loraptor::cli {

using Words = std::vector<std::string>;

struct Command {
  const char* name;
  const char* help;
  int (*run)(const Words& words);  // words after the name; returns the exit status; throws as base/error.h says
};

/// All commands.
const std::vector<Command>& commands();

/// Runs the command that `words` (the command line without the program's name) ask for: by name, or `train` when the
/// first word is an option. Returns the exit status. Throws UsageError for an unknown command.
int run_command(const Words& words);

int run_train(const Words& words);
int run_dataset(const Words& words);
int run_cache(const Words& words);
int run_generate(const Words& words);
int run_merge(const Words& words);
int run_extract(const Words& words);
int run_resize(const Words& words);
int run_convert(const Words& words);
int run_inspect(const Words& words);
int run_options(const Words& words);

}  // namespace loraptor::cli
