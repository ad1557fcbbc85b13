// `loraptor train`: from the command line to a training run.
#include <fmt/format.h>

#include "base/heap.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/config_build.h"
#include "cli/config_file.h"
#include "cli/help.h"
#include "cli/launch.h"
#include "cli/log_setup.h"
#include "cli/option_parse.h"
#include "train/session.h"

namespace loraptor::cli {

int run_train(const Words& words) {
  const ParsedWords parsed = parse_words(words);
  if (parsed.wants_help) {
    fmt::print("{}", help_text());
    return 0;
  }
  const auto file = config_file_path(parsed.options);
  if (file && parsed.options.count("output_config") != 0) {
    write_config_file(*file, parsed.options);
    return 0;
  }
  const BuiltConfig built = build_config(parsed.options);
  keep_freed_memory();
  if (const auto status = launch_if_asked("train", words, built.config)) return *status;
  log::configure(log_config(built.config.logging));
  log::info("Settings that are not defaults:\n{}", settings_text(built.config));
  for (const std::string& warning : built.warnings) log::warn("{}", warning);
  train::run_training(built.config);
  return 0;
}

}  // namespace loraptor::cli
