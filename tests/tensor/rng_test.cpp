// Draws depend on what they are for and on nothing else.
#include "tensor/rng.h"

#include <gtest/gtest.h>

#include <set>

#include "support/thread_count.h"

namespace loraptor::tensor {
namespace {

const CounterRng kRng(42);
const DrawKey kKey{Purpose::noise, 3, 7};

TEST(CounterRng, ThreadCountDoesNotChangeTheDraws) {
  const auto drawn_by = [](int threads) {
    const test::ThreadCount setting(threads);
    return kRng.normal(kKey, {16, 64, 64});
  };
  EXPECT_TRUE(at::equal(drawn_by(1), drawn_by(2)));
}

TEST(CounterRng, AShorterDrawIsThePrefixOfALongerOne) {
  EXPECT_TRUE(at::equal(kRng.normal(kKey, {10}), kRng.normal(kKey, {1000}).slice(0, 0, 10)));
  EXPECT_TRUE(at::equal(kRng.uniform(kKey, {10}), kRng.uniform(kKey, {1000}).slice(0, 0, 10)));
}

TEST(CounterRng, EveryPartOfTheKeyMatters) {
  const auto base = kRng.normal(kKey, {8});
  for (const DrawKey& other : {DrawKey{Purpose::timestep, 3, 7}, DrawKey{Purpose::noise, 4, 7},
                               DrawKey{Purpose::noise, 3, 8}, DrawKey{Purpose::noise, 7, 3}}) {
    EXPECT_FALSE(at::equal(base, kRng.normal(other, {8})));
  }
  EXPECT_FALSE(at::equal(base, CounterRng(43).normal(kKey, {8})));
}

TEST(CounterRng, NormalNumbersHaveMeanZeroAndVarianceOne) {
  const auto draws = kRng.normal(kKey, {1 << 20}).to(at::kDouble);
  EXPECT_NEAR(draws.mean().item<double>(), 0.0, 0.005);
  EXPECT_NEAR(draws.var().item<double>(), 1.0, 0.005);
  EXPECT_NEAR(draws.pow(4).mean().item<double>(), 3.0, 0.05);
}

TEST(CounterRng, UniformNumbersFillTheUnitInterval) {
  const auto draws = kRng.uniform(kKey, {1 << 18});
  EXPECT_GE(draws.min().item<float>(), 0.0f);
  EXPECT_LT(draws.max().item<float>(), 1.0f);
  EXPECT_NEAR(draws.mean().item<double>(), 0.5, 0.005);
}

TEST(CounterRng, PermutationsHoldEveryNumberOnce) {
  const auto order = kRng.permutation(1000, kKey);
  EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 1000u);
  EXPECT_NE(order[0] + order[1] + order[2], 3);
}

TEST(CounterDraws, AnImagesDrawsDoNotDependOnItsBatch) {
  CounterDraws draws(1);
  const BatchDraws pair{.micro_step = 0, .epoch = 2, .occurrences = {5, 9}};
  const BatchDraws single{.micro_step = 17, .epoch = 2, .occurrences = {9}};
  EXPECT_TRUE(at::equal(draws.noise(pair, {2, 16, 8, 8})[1], draws.noise(single, {1, 16, 8, 8})[0]));
  EXPECT_TRUE(at::equal(draws.timestep_unit(pair)[1], draws.timestep_unit(single)[0]));
  EXPECT_TRUE(at::equal(draws.latent_noise(pair, {2, 16, 8, 8})[1], draws.latent_noise(single, {1, 16, 8, 8})[0]));
}

TEST(CounterDraws, EpochsDiffer) {
  CounterDraws draws(1);
  const BatchDraws first{.micro_step = 0, .epoch = 1, .occurrences = {5}};
  const BatchDraws second{.micro_step = 0, .epoch = 2, .occurrences = {5}};
  EXPECT_FALSE(at::equal(draws.noise(first, {1, 4}), draws.noise(second, {1, 4})));
}

}  // namespace
}  // namespace loraptor::tensor
