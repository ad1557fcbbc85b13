#include "cli/log_setup.h"

#include "dist/world.h"

namespace loraptor::cli {

log::LogConfig log_config(const train::LoggingConfig& logging) {
  const std::string level = logging.console_log_level.value_or("INFO");
  log::LogConfig config;
  if (level == "DEBUG") config.level = log::Level::debug;
  if (level == "WARNING") config.level = log::Level::warning;
  if (level == "ERROR" || level == "CRITICAL") config.level = log::Level::error;
  if (logging.console_log_file) config.file = *logging.console_log_file;
  config.simple = logging.console_log_simple;
  if (!dist::is_main_process()) {
    config.level = log::Level::error;
    config.file.reset();
  }
  return config;
}

}  // namespace loraptor::cli
