// `loraptor train`: from the command line to a training run.
#include <fmt/format.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/config_build.h"
#include "cli/config_file.h"
#include "cli/help.h"
#include "cli/log_setup.h"
#include "cli/option_parse.h"
#include "dist/launcher.h"
#include "dist/world.h"
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
  const dist::World world = dist::world_from_environment();
  const int64_t wanted = built.config.loop.num_processes.value_or(world.size);
  if (world.is_alone() && wanted > 1) {
    Words all{"train"};
    all.insert(all.end(), words.begin(), words.end());
    return dist::launch_processes(wanted, all);
  }
  if (wanted != world.size) {
    throw UsageError(
        fmt::format("[--num_processes] got {}, but WORLD_SIZE says {}, expected one of them.", wanted, world.size));
  }
  log::configure(log_config(built.config.logging));
  log::info("Settings that are not defaults:\n{}", settings_text(built.config));
  for (const std::string& warning : built.warnings) log::warn("{}", warning);
  train::run_training(built.config);
  return 0;
}

}  // namespace loraptor::cli
