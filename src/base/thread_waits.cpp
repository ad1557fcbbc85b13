#include "base/thread_waits.h"

#include <omp.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>

namespace loraptor {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(250);
constexpr double kCrowded = 0.3, kCalm = 0.1;  // shares of the time in which the thread waited for a CPU
constexpr int kMostCpus = 64;                  // more are hardly crowded, and so many threads more may be too many

/// What the kernel says about the first thread of this process.
class CpuAccount {
 public:
  /// Seconds that it was ready to run and another ran, since the process started.
  std::optional<double> waited() const {
    std::ifstream file(path_);
    double ran = 0, waited = 0;
    if (!(file >> ran >> waited)) return std::nullopt;
    return 1e-9 * waited;
  }

 private:
  std::string path_ = "/proc/self/task/" + std::to_string(::getpid()) + "/schedstat";
};

/// False if the thread is asked to stop before the time is over.
bool sleep_for(const std::stop_token& stop, std::chrono::milliseconds time) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

void watch(const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  const CpuAccount account;
  std::optional<SleepingThreads> sleeping;
  auto before = Clock::now();
  double waited_before = account.waited().value_or(0);
  while (sleep_for(stop, kInterval)) {
    const auto now = Clock::now();
    const double waited = account.waited().value_or(waited_before);
    const double share = (waited - waited_before) / std::chrono::duration<double>(now - before).count();
    try {
      if (share > kCrowded && !sleeping) sleeping.emplace();
    } catch (const std::system_error&) {
      return;
    }
    if (share < kCalm) sleeping.reset();
    before = now;
    waited_before = waited;
  }
}

}  // namespace

// libgomp lets threads spin for a hundred rounds only while there are more of them than CPUs (its manual, under
// GOMP_SPINCOUNT). So a thread is started whose own team is larger than that; it sleeps.
SleepingThreads::SleepingThreads()
    : owner_([](const std::stop_token& stop) {
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
        ::sched_yield();  // anything: an empty region is left out by the compiler
        while (sleep_for(stop, std::chrono::hours(1))) {
        }
      }) {
}

ThreadWaits::ThreadWaits() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (omp_get_num_procs() > kMostCpus || !CpuAccount().waited()) return;
  try {
    watcher_ = std::jthread(watch);
  } catch (const std::system_error&) {  // a limit on processes; then threads spin
  }
}

}  // namespace loraptor
