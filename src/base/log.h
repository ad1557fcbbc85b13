// Log lines on standard error. Results go to standard output and never through here.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace loraptor::log {

enum class Level { debug, info, warning, error };

struct LogConfig {
  Level level = Level::info;
  std::optional<std::filesystem::path> file;  // instead of the terminal; truncated at start
  bool simple = false;                        // plain lines on standard output
};

/// Applies `config` to all later lines. Throws FileError if the log file cannot be opened.
void configure(const LogConfig& config);

/// Writes one line. `warn_once` drops a text that was written before.
void write(Level level, std::string_view text);
void warn_once(const std::string& text);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

/// Called before each line goes to a terminal, so that a progress bar can clear its own line first.
void set_before_line(void (*callback)());

}  // namespace loraptor::log
