// Weights that visit the device: the same numbers, and never more of them there than there are places.
#include "memory/swap_pool.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "nn/linear.h"

namespace loraptor::memory {
namespace {

constexpr int64_t kBlocks = 6, kSwapped = 4, kWidth = 8;

/// A chain of blocks, each a frozen layer times a trained factor; the last ones may be swapped.
struct Chain {
  explicit Chain(bool as_fp8) {
    at::manual_seed(1);
    for (int64_t i = 0; i < kBlocks; ++i) {
      layers.emplace_back(at::randn({kWidth, kWidth}), at::randn({kWidth}));
      if (as_fp8) layers.back().store_as_fp8();
      factors.push_back(at::randn({kWidth}).requires_grad_());
    }
  }

  std::shared_ptr<SwapPool> swap() {
    auto pool = std::make_shared<SwapPool>(at::kCPU);
    for (int64_t i = kBlocks - kSwapped; i < kBlocks; ++i) {
      auto& layer = layers[static_cast<size_t>(i)];
      const size_t number = pool->add(i, layer.weight().stored());
      layer.move_to(at::kCPU, at::kFloat, [pool, i, number] { return pool->get(i, number); });
    }
    return pool;
  }

  /// Output and gradients of the factors.
  std::vector<at::Tensor> run(BlockRunner& runner, SwapPool* pool) {
    at::Tensor x = at::ones({3, kWidth});
    for (int64_t i = 0; i < kBlocks; ++i) {
      const auto block = static_cast<size_t>(i);
      x = runner.run({i,
                      [this, block, pool](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
                        const auto y = at::tanh(layers[block].forward(in[0])) * factors[block];
                        if (pool != nullptr) most_present = std::max(most_present, pool->present());
                        return {y};
                      },
                      {x},
                      {factors[block]}})[0];
    }
    auto results = torch::autograd::grad({x.square().sum()}, factors);
    if (pool != nullptr) most_present = std::max(most_present, pool->present());
    results.push_back(x);
    return results;
  }

  std::vector<nn::Linear> layers;
  std::vector<at::Tensor> factors;
  int64_t most_present = 0;
};

void expect_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
}

void check(bool as_fp8, bool recomputes) {
  const auto inner = [&]() -> std::unique_ptr<BlockRunner> {
    if (recomputes) return std::make_unique<CheckpointRunner>();
    return std::make_unique<PlainRunner>();
  };
  Chain plain(as_fp8), swapped(as_fp8);
  const auto want = plain.run(*inner(), nullptr);
  const auto pool = swapped.swap();
  SwapRunner runner(inner(), pool);
  expect_same(want, swapped.run(runner, pool.get()));
  EXPECT_LE(swapped.most_present, 2);
  // Forward 2 to 5, then back from 5 to 2, where 5 and 4 are still there. The block before the first swapped one is not
  // in the pool.
  EXPECT_EQ(pool->copies(), 6);
  expect_same(want, swapped.run(runner, pool.get()));
  EXPECT_LE(swapped.most_present, 2);
  EXPECT_EQ(pool->copies(), 10);  // 2 and 3 are still there
}

TEST(SwapPool, blocks_that_visit_the_device_give_the_same_bits) { check(false, false); }
TEST(SwapPool, so_they_do_when_they_are_computed_again) { check(false, true); }
TEST(SwapPool, so_they_do_as_float8) { check(true, false); }

TEST(SwapPool, the_next_block_is_brought_before_it_is_asked_for) {
  SwapPool pool(at::kCPU);
  for (int64_t block = 2; block < 6; ++block) pool.add(block, at::full({2}, static_cast<double>(block)));
  pool.begin(0);
  EXPECT_EQ(pool.copies(), 0);
  pool.begin(1);
  EXPECT_EQ(pool.copies(), 1);  // block 2
  pool.begin(2);
  EXPECT_EQ(pool.get(2, 0)[0].item<float>(), 2);
  EXPECT_EQ(pool.copies(), 2);  // block 3
  pool.begin(3);
  EXPECT_EQ(pool.get(3, 0)[0].item<float>(), 3);
  EXPECT_EQ(pool.copies(), 3);
  EXPECT_EQ(pool.present(), 2);
}

TEST(SwapPool, a_block_that_nobody_announced_is_brought_all_the_same) {
  SwapPool pool(at::kCPU);
  for (int64_t block = 0; block < 4; ++block) pool.add(block, at::full({2}, static_cast<double>(block)));
  for (const int64_t block : {3, 0, 2, 2, 1}) {
    EXPECT_EQ(pool.get(block, 0)[0].item<float>(), static_cast<float>(block));
    EXPECT_LE(pool.present(), 2);
  }
}

}  // namespace
}  // namespace loraptor::memory
