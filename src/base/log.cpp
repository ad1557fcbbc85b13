#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <mutex>
#include <set>

#include "base/error.h"

namespace loraptor::log {
namespace {

std::atomic<void (*)()> before_line{nullptr};

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("loraptor", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%H:%M:%S %^%l%$ %v");
    return made;
  }();
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void configure(const LogConfig& config) {
  std::shared_ptr<spdlog::logger> made;
  if (config.file) {
    try {
      made = std::make_shared<spdlog::logger>(
          "loraptor", std::make_shared<spdlog::sinks::basic_file_sink_mt>(config.file->string(), /*truncate=*/true));
    } catch (const spdlog::spdlog_ex& e) {
      throw FileError(
          *config.file,
          fmt::format("log file cannot be opened: {}.\nHint: choose another --console_log_file.", e.what()));
    }
    made->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
  } else if (config.simple) {
    made = std::make_shared<spdlog::logger>("loraptor", std::make_shared<spdlog::sinks::stdout_sink_mt>());
    made->set_pattern("%v");
  } else {
    made = std::make_shared<spdlog::logger>("loraptor", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%H:%M:%S %^%l%$ %v");
  }
  made->set_level(to_spdlog(config.level));
  made->flush_on(spdlog::level::info);
  logger() = made;
}

void write(Level level, std::string_view text) {
  if (!logger()->should_log(to_spdlog(level))) return;
  if (auto callback = before_line.load()) callback();
  logger()->log(to_spdlog(level), "{}", text);
}

void warn_once(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  {
    std::lock_guard lock(mutex);
    if (!seen.insert(text).second) return;
  }
  write(Level::warning, text);
}

void set_before_line(void (*callback)()) { before_line = callback; }

}  // namespace loraptor::log
