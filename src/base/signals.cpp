#include "base/signals.h"

#include <time.h>
#include <unistd.h>

namespace loraptor {
namespace {

volatile sig_atomic_t first_signal = 0;
volatile timespec first_time{};

/// The same signal may come twice at once: to the group of processes, and passed on by the launcher.
bool is_echo(int signal) {
  constexpr time_t kSeconds = 1;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return signal == first_signal && now.tv_sec - first_time.tv_sec <= kSeconds;
}

// Only what POSIX allows in a handler: no allocation, no stdio.
void note_signal(int signal) {
  if (first_signal != 0) {
    if (is_echo(signal)) return;
    ::_exit(128 + signal);
  }
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  first_time.tv_sec = now.tv_sec;
  first_signal = signal;
  constexpr char kText[] = "\nstopping: the micro-step is finished and saved; a second signal leaves at once\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
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
