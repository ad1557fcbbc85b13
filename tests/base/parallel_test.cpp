// The same work for many items.
#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace loraptor {
namespace {

TEST(RunInThreads, does_each_item_once_and_counts_up) {
  std::vector<std::atomic<int>> times(500);
  std::vector<int64_t> told;
  run_in_threads(
      500, [&](int64_t i) { ++times[static_cast<size_t>(i)]; }, [&](int64_t items) { told.push_back(items); });
  for (const auto& count : times) EXPECT_EQ(count, 1);
  ASSERT_EQ(told.size(), 500u);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i], static_cast<int64_t>(i) + 1);
  run_in_threads(0, [](int64_t) { FAIL(); });
}

TEST(RunInThreads, hands_an_exception_on_and_stops) {
  std::atomic<int> begun = 0;
  const auto work = [&](int64_t i) {
    ++begun;
    if (i == 3) throw std::runtime_error("item 3");
  };
  EXPECT_THROW(run_in_threads(1'000'000, work), std::runtime_error);
  EXPECT_LT(begun, 1'000'000);
}

TEST(InBackground, whoever_lets_go_waits_for_the_end) {
  std::atomic<bool> is_done = false;
  const auto work = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    is_done = true;
  };
  { const auto copy = std::shared_future<void>(in_background(work)); }
  EXPECT_TRUE(is_done);
  EXPECT_THROW(in_background([] { throw std::runtime_error("what is wrong"); }).get(), std::runtime_error);
}

}  // namespace
}  // namespace loraptor
