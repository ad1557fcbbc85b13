#include "base/clock.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>

namespace loraptor {
namespace {

std::string local_time(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[64];
  std::strftime(text, sizeof text, format, &parts);
  return text;
}

}  // namespace

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string local_time_stamp() { return local_time("%Y%m%d%H%M%S"); }
std::string local_time_iso() { return local_time("%Y-%m-%dT%H:%M:%S"); }

std::string format_duration(double seconds) {
  const auto total = static_cast<int64_t>(std::max(0.0, std::floor(seconds)));
  const int64_t hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, rest) : fmt::format("{:02}:{:02}", minutes, rest);
}

}  // namespace loraptor
