// The progress line of a run, in the form people know from tqdm.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace loraptor::report {

/// "steps:  12%|█▏        | 12/100 [00:10<01:20,  1.10it/s, avr_loss=0.123]" for given numbers.
///   seconds   since the bar began at `initial`
std::string progress_line(const std::string& what, int64_t done, int64_t total, int64_t initial, double seconds,
                          const std::string& suffix);

/// Writes the line to standard error: over itself on a terminal, else a new line every few seconds and the last one.
class ProgressBar {
 public:
  ProgressBar(std::string what, int64_t total, int64_t initial = 0);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(int64_t done, const std::string& suffix);

 private:
  void write();

  std::string what_, suffix_;
  int64_t total_, initial_, done_;
  bool on_terminal_;
  bool unwritten_ = false;
  double last_line_ = 0;
  Stopwatch watch_;
};

}  // namespace loraptor::report
