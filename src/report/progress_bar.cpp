#include "report/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace loraptor::report {
namespace {

constexpr int kCells = 10;                    // cells of the bar
constexpr double kSecondsBetweenLines = 5;    // without a terminal
constexpr double kSecondsBetweenDraws = 0.1;  // on a terminal

std::string bar(double share) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = std::clamp(static_cast<int>(share * kCells * 8), 0, kCells * 8);
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  text += kEighths[eighths % 8];
  for (int i = eighths / 8 + (eighths % 8 != 0); i < kCells; ++i) text += " ";
  return text;
}

void clear_terminal_line() { std::fputs("\r\033[K", stderr); }

}  // namespace

std::string progress_line(const std::string& what, int64_t done, int64_t total, int64_t initial, double seconds,
                          const std::string& suffix) {
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const double rate = seconds > 0 ? static_cast<double>(done - initial) / seconds : 0;
  const std::string left = rate > 0 ? format_duration(static_cast<double>(total - done) / rate) : "?";
  const std::string speed = rate <= 0  ? "?it/s"
                            : rate < 1 ? fmt::format("{:5.2f}s/it", 1 / rate)
                                       : fmt::format("{:5.2f}it/s", rate);
  return fmt::format("{}: {:3.0f}%|{}| {}/{} [{}<{}, {}{}{}]", what, 100 * share, bar(share), done, total,
                     format_duration(seconds), left, speed, suffix.empty() ? "" : ", ", suffix);
}

ProgressBar::ProgressBar(std::string what, int64_t total, int64_t initial)
    : what_(std::move(what)),
      total_(total),
      initial_(initial),
      done_(initial),
      on_terminal_(::isatty(STDERR_FILENO) == 1) {
  if (on_terminal_) log::set_before_line(clear_terminal_line);
}

ProgressBar::~ProgressBar() {
  if (unwritten_) write();
  if (on_terminal_) {
    log::set_before_line(nullptr);
    std::fputc('\n', stderr);
  }
}

void ProgressBar::update(int64_t done, const std::string& suffix) {
  done_ = done;
  suffix_ = suffix;
  unwritten_ = true;
  const double pause = on_terminal_ ? kSecondsBetweenDraws : kSecondsBetweenLines;
  if (done == total_ || watch_.seconds() - last_line_ >= pause) write();
}

void ProgressBar::write() {
  const std::string line = progress_line(what_, done_, total_, initial_, watch_.seconds(), suffix_);
  // Not fmt::print, which throws where standard error leads to a full disk.
  std::fputs((on_terminal_ ? "\r\033[K" + line : line + "\n").c_str(), stderr);
  std::fflush(stderr);
  last_line_ = watch_.seconds();
  unwritten_ = false;
}

}  // namespace loraptor::report
