// The sampler's noise levels and steps.
#include "flow/euler_sampler.h"

#include <gtest/gtest.h>

namespace loraptor {
namespace {

TEST(EulerSampler, ThirtyStepsHaveTheOfficialLevels) {
  const auto sigmas = flow::sample_sigmas(30);
  ASSERT_EQ(sigmas.size(), 31u);
  const std::vector<double> first = {1.0, 0.988271, 0.975979, 0.963082, 0.949534};
  const std::vector<double> last = {0.262647, 0.188245, 0.104323, 0.008929, 0.0};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(sigmas[i], first[i], 1e-6);
    EXPECT_NEAR(sigmas[26 + i], last[i], 1e-6);
  }
}

TEST(EulerSampler, OneStepGoesFromOneToZero) { EXPECT_EQ(flow::sample_sigmas(1), (std::vector<double>{1.0, 0.0})); }

TEST(EulerSampler, ExactVelocityReachesTheLatentsInAnyNumberOfSteps) {
  const auto latents = at::randn({1, 16, 4, 4}), noise = at::randn({1, 16, 4, 4});
  auto x = noise;
  const auto sigmas = flow::sample_sigmas(7);
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) x = flow::euler_step(x, noise - latents, sigmas[i], sigmas[i + 1]);
  EXPECT_LT((x - latents).abs().max().item<float>(), 1e-5);
}

TEST(EulerSampler, StepKeepsTheLatentsType) {
  const auto x = at::ones({1, 16, 2, 2}, at::kBFloat16);
  EXPECT_EQ(flow::euler_step(x, at::ones({1, 16, 2, 2}), 0.5, 0.25).scalar_type(), at::kBFloat16);
}

TEST(EulerSampler, GuidanceOfOneIsThePositiveVelocity) {
  const auto positive = at::full({2}, 3.0), negative = at::full({2}, 1.0);
  EXPECT_TRUE(at::equal(flow::guided(positive, negative, 1.0), positive));
  EXPECT_FLOAT_EQ(flow::guided(positive, negative, 2.5)[0].item<float>(), 6.0f);
}

}  // namespace
}  // namespace loraptor
