#include "base/signals.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace loraptor {
namespace {

volatile sig_atomic_t first_signal = 0;
volatile double first_seconds = 0;
const char* volatile stop_notice = "";

double seconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The same signal may come twice at once: to the group of processes, and passed on by the launcher. A person who
/// presses the keys again is slower.
bool is_echo(int signal) {
  constexpr double kSeconds = 0.1;
  return signal == first_signal && seconds_now() - first_seconds < kSeconds;
}

// Only what POSIX allows in a handler: no allocation, no stdio.
void note_signal(int signal) {
  if (first_signal != 0) {
    if (is_echo(signal)) return;
    ::_exit(128 + signal);
  }
  first_seconds = seconds_now();
  first_signal = signal;
  const char* text = stop_notice;
  const int before = errno;  // of whatever is interrupted here
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, ::strlen(text));
  errno = before;
}

}  // namespace

StopSignals::StopSignals(const char* notice) {
  first_signal = 0;
  stop_notice = notice;
  struct sigaction action = {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;  // reads and writes of other code go on
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

int StopSignals::received() const { return first_signal; }

const char* signal_name(int signal) { return signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : "a signal"; }

}  // namespace loraptor
