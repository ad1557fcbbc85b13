// Tensor memory is reused, given back, and stays below its bound.
#include "memory/tensor_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>

namespace loraptor::memory {
namespace {

class TensorCache : public testing::Test {
 protected:
  static void SetUpTestSuite() { keep_tensor_memory(); }
  void SetUp() override { drop_tensor_cache(); }
};

TEST_F(TensorCache, the_next_tensor_of_the_size_gets_the_memory) {
  auto first = at::ones({1 << 20});
  const void* where = first.const_data_ptr();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(where) % 64, 0u);
  const int64_t live = tensor_cache_stats().live_bytes;
  first.reset();
  EXPECT_GE(tensor_cache_stats().cached_bytes, 4 << 20);
  EXPECT_LT(tensor_cache_stats().live_bytes, live);
  const auto second = at::empty({1 << 20});
  EXPECT_EQ(second.const_data_ptr(), where);
  EXPECT_EQ(tensor_cache_stats().cached_bytes, 0);
}

TEST_F(TensorCache, dropping_gives_everything_back) {
  at::ones({1 << 20}).sum();
  EXPECT_GT(tensor_cache_stats().cached_bytes, 0);
  drop_tensor_cache();
  EXPECT_EQ(tensor_cache_stats().cached_bytes, 0);
}

TEST_F(TensorCache, ever_new_sizes_do_not_pile_up) {
  for (int64_t size = 100'000; size < 4'000'000; size += 50'000) {
    at::ones({size}).sum();
    const auto stats = tensor_cache_stats();
    EXPECT_LE(stats.cached_bytes + stats.live_bytes, stats.peak_bytes + stats.peak_bytes / 4);
  }
}

TEST_F(TensorCache, small_and_empty_tensors_and_other_threads_work) {
  EXPECT_EQ(at::ones({3}).sum().item<float>(), 3);
  EXPECT_EQ(at::empty({0}).numel(), 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int k = 0; k < 50; ++k) {
        const auto t = at::full({100'000 + 1000 * k}, i);
        EXPECT_EQ(t.min().item<int>(), i);
        EXPECT_EQ(t.max().item<int>(), i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace loraptor::memory
