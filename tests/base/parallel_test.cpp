// The same work for many items.
#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
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

TEST(StartThreads, does_with_none_where_a_limit_forbids_them) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs memory that the test forbids";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run_without_threads = [] {
    const rlimit nothing_more{0, 0};
    if (::setrlimit(RLIMIT_AS, &nothing_more) != 0) std::_Exit(2);  // no room for a stack
    int64_t sum = 0;
    run_in_threads(4, [&](int64_t i) { sum += i; });
    const bool has_none = start_threads(3, [] {}).empty();
    std::_Exit(has_none && sum == 6 && in_background([] { return 7; }).get() == 7 ? 0 : 1);
  };
  EXPECT_EXIT(run_without_threads(), testing::ExitedWithCode(0), "");
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
