#include "base/thread_waits.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <vector>

namespace loraptor {
namespace {

int64_t threads_of_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

/// Works until the condition holds; false after half a minute.
bool becomes_true(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
  }
  return false;
}

TEST(SleepingThreads, there_are_more_threads_than_cpus_while_it_lives) {
  const int64_t before = threads_of_process();
  {
    const SleepingThreads sleeping;
    EXPECT_TRUE(becomes_true([&] { return threads_of_process() == before + omp_get_num_procs() + 1; }));
  }
  EXPECT_TRUE(becomes_true([&] { return threads_of_process() == before; }));
}

TEST(ThreadWaits, threads_sleep_while_the_machine_is_crowded) {
  ::unsetenv("OMP_WAIT_POLICY");
  ::unsetenv("GOMP_SPINCOUNT");
  std::atomic<bool> is_over = false;
  const int64_t others = 3 * omp_get_num_procs();
  const ThreadWaits waits;
  const int64_t before = threads_of_process();
  std::vector<std::thread> busy;
  for (int64_t i = 0; i < others; ++i) {
    busy.emplace_back([&] {
      while (!is_over) {
      }
    });
  }
  EXPECT_TRUE(becomes_true([&] { return threads_of_process() > before + others + omp_get_num_procs(); }));
  is_over = true;
  for (auto& thread : busy) thread.join();
  EXPECT_TRUE(becomes_true([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return threads_of_process() == before;
  }));
}

TEST(ThreadWaits, the_users_own_choice_stays) {
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  const int64_t before = threads_of_process();
  const ThreadWaits waits;
  EXPECT_EQ(threads_of_process(), before);
}

}  // namespace
}  // namespace loraptor
