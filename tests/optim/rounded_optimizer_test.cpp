// LoRA weights in 16 bits: what rounding does to them.
#include <gtest/gtest.h>

#include "optim/rounded_optimizer.h"
#include "small_parameters.h"

namespace loraptor {
namespace {

using test::small_optimizer;
using test::SmallParameters;

TEST(StochasticRounding, GoesUpWithTheRightProbability) {
  const int64_t n = 20000;
  const double low = 1.0, high = 1.0078125;  // neighbours in bfloat16
  for (const double share : {0.25, 0.9}) {
    const auto x = at::full({n}, low + share * (high - low), at::kFloat);
    const auto rounded = optim::round_stochastically(x, at::rand({n})).to(at::kDouble);
    EXPECT_TRUE(rounded.eq(low).logical_or(rounded.eq(high)).all().item<bool>());
    EXPECT_NEAR(rounded.eq(high).to(at::kDouble).mean().item<double>(), share, 0.02);
  }
}

TEST(StochasticRounding, KeepsExactValuesAndNonNumbers) {
  const auto x = at::tensor(std::vector<float>{0.0f, -1.5f, 256.0f, INFINITY, -INFINITY});
  EXPECT_TRUE(at::equal(optim::round_stochastically(x, at::full({5}, 0.999f)).to(at::kFloat), x));
  EXPECT_TRUE(at::isnan(optim::round_stochastically(at::full({1}, NAN), at::full({1}, 0.5f))).all().item<bool>());
}

TEST(RoundedOptimizer, StepsTooSmallForBfloat16AddUpOnAverage) {
  SmallParameters wide, narrow(at::kBFloat16);
  const auto exact = small_optimizer(wide, "SGD"), rounded = small_optimizer(narrow, "SGD", {}, 3);
  {
    const at::NoGradGuard no_grad;
    wide.groups()[0].flat.fill_(1);
    narrow.groups()[0].flat.fill_(1);
  }
  for (int t = 1; t <= 200; ++t) {
    wide.groups()[0].flat_grad.fill_(1);
    narrow.groups()[0].flat_grad.fill_(1);
    exact->step({1e-4});  // a fortieth of the distance to the neighbour of 1 in bfloat16
    rounded->step({1e-4});
  }
  const double want = wide.values().mean().item<double>();
  EXPECT_NEAR(narrow.values().to(at::kDouble).mean().item<double>(), want, 1.5e-3);
  EXPECT_NEAR(want, 0.98, 1e-4);
}

TEST(RoundedOptimizer, StaysNearTheFloat32Run) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    SmallParameters wide, narrow(dtype);
    const auto exact = small_optimizer(wide, "AdamW"), rounded = small_optimizer(narrow, "AdamW", {}, 3);
    wide.step(*exact, 1, 10, 1e-2);
    narrow.step(*rounded, 1, 10, 1e-2);
    const auto difference = (wide.values() - narrow.values().to(at::kFloat)).abs();
    EXPECT_LT(difference.mean().item<double>(), dtype == at::kHalf ? 3e-4 : 3e-3);
    EXPECT_EQ(narrow.values().scalar_type(), dtype);
    EXPECT_EQ(rounded->state_dict().at("down.exp_avg").scalar_type(), at::kFloat);
  }
}

TEST(RoundedOptimizer, DrawsFollowFromTheSeed) {
  SmallParameters a(at::kBFloat16), b(at::kBFloat16), other(at::kBFloat16);
  a.step(*small_optimizer(a, "AdamW", {}, 1), 1, 4, 1e-4);
  b.step(*small_optimizer(b, "AdamW", {}, 1), 1, 4, 1e-4);
  other.step(*small_optimizer(other, "AdamW", {}, 2), 1, 4, 1e-4);
  EXPECT_TRUE(at::equal(a.values(), b.values()));
  EXPECT_FALSE(at::equal(a.values(), other.values()));
}

}  // namespace
}  // namespace loraptor
