// Signals that ask a run to end in order.
#pragma once

#include <signal.h>

#include <stdexcept>
#include <string>

namespace loraptor {

/// While it lives, the first SIGINT or SIGTERM is only noted, with a line on standard error; a second one ends the
/// process at once, with exit status 128 + its number. One at a time.
class StopSignals {
 public:
  /// notice   the line, with line ends around it: a constant of the program, not freed while this lives
  explicit StopSignals(const char* notice = kStepNotice);
  ~StopSignals();  // the handlers of before
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Number of the signal that arrived, or 0.
  int received() const;

  static constexpr const char* kStepNotice =
      "\nstopping: the micro-step is finished and saved; a second signal leaves at once\n";

 private:
  struct sigaction old_interrupt_, old_terminate_;
};

/// A run that was asked to stop, has saved its state and ends before its time. Exit status 128 + signal.
class Stopped : public std::runtime_error {
 public:
  /// message   what was saved, and how to go on
  Stopped(int signal, const std::string& message) : std::runtime_error(message), signal_(signal) {}
  int signal() const { return signal_; }

 private:
  int signal_;
};

/// "SIGINT", "SIGTERM".
const char* signal_name(int signal);

}  // namespace loraptor
