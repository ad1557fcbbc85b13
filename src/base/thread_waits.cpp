#include "base/thread_waits.h"

#include <omp.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
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

}  // namespace

// libgomp lets threads spin for a hundred rounds only while there are more of them than CPUs (its manual, under
// GOMP_SPINCOUNT). So a thread is started whose own team is larger than that; it sleeps.
SleepingThreads::SleepingThreads() {
  owner_ = std::thread([this] {
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
    ::sched_yield();  // anything: an empty region is left out by the compiler
    std::unique_lock lock(mutex_);
    stop_.wait(lock, [this] { return is_over_; });
  });
}

SleepingThreads::~SleepingThreads() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  stop_.notify_one();
  owner_.join();
}

ThreadWaits::ThreadWaits() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (omp_get_num_procs() > kMostCpus || !CpuAccount().waited()) return;
  try {
    watcher_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {  // a limit on processes; then threads spin
  }
}

ThreadWaits::~ThreadWaits() {
  if (!watcher_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  stop_.notify_one();
  watcher_.join();
}

void ThreadWaits::watch() {
  using Clock = std::chrono::steady_clock;
  const CpuAccount account;
  std::unique_ptr<SleepingThreads> sleeping;
  auto before = Clock::now();
  double waited_before = account.waited().value_or(0);
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kInterval, [this] { return is_over_; })) {
    const auto now = Clock::now();
    const double waited = account.waited().value_or(waited_before);
    const double share = (waited - waited_before) / std::chrono::duration<double>(now - before).count();
    try {
      if (share > kCrowded && sleeping == nullptr) sleeping = std::make_unique<SleepingThreads>();
    } catch (const std::system_error&) {
      return;
    }
    if (share < kCalm) sleeping = nullptr;
    before = now;
    waited_before = waited;
  }
}

}  // namespace loraptor
