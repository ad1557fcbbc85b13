// `loraptor cache`: fills the caches of a training run without training.
#include <fmt/format.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/config_build.h"
#include "cli/help.h"
#include "cli/launch.h"
#include "cli/log_setup.h"
#include "cli/option_parse.h"
#include "train/session.h"

namespace loraptor::cli {

int run_cache(const Words& words) {
  ParsedWords parsed = parse_words(words);
  if (parsed.wants_help) {
    fmt::print(
        "loraptor cache takes the options of training and writes the caches that the run would use.\n"
        "Without --cache_latents_to_disk and --cache_text_encoder_outputs_to_disk it writes both kinds.\n\n{}",
        help_text());
    return 0;
  }
  // Training asks for a place of its LoRA; here nothing is written there.
  parsed.options.try_emplace("output_dir", Given{std::string("."), "loraptor cache"});
  BuiltConfig built = build_config(parsed.options);
  auto& cache = built.config.cache;
  if (!cache.cache_latents_to_disk && !cache.cache_text_encoder_outputs_to_disk) {
    cache.cache_latents_to_disk = cache.cache_text_encoder_outputs_to_disk = true;
  }
  cache.cache_latents = cache.cache_latents_to_disk;
  cache.cache_text_encoder_outputs = cache.cache_text_encoder_outputs_to_disk;
  if (const auto status = launch_if_asked("cache", words, built.config)) return *status;
  log::configure(log_config(built.config.logging));
  for (const std::string& warning : built.warnings) log::warn("{}", warning);
  train::fill_caches(built.config);
  return 0;
}

}  // namespace loraptor::cli
