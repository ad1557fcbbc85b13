// The fused step against the same step from separate operations.
#include "kernels/adam8bit_step.h"

#include <gtest/gtest.h>

namespace loraptor::kernels {
namespace {

/// Values that crowd around zero, as those of 8-bit optimizers do; signed ones have both signs.
at::Tensor crowded_values(bool is_signed) {
  const auto half = at::pow(10, at::linspace(-6.5, 0, is_signed ? 128 : 255));
  return is_signed ? at::cat({-half.slice(0, 1).flip(0), at::zeros({1}), half}) : at::cat({at::zeros({1}), half});
}

at::Tensor borders_of(const at::Tensor& values) { return (values.slice(0, 0, 255) + values.slice(0, 1)) / 2; }

struct Step {
  at::Tensor values1 = crowded_values(true), values2 = crowded_values(false);
  cpu::NearestCode codes1 = nearest_code(values1, borders_of(values1));
  cpu::NearestCode codes2 = nearest_code(values2, borders_of(values2));
  cpu::AdamNumbers numbers{
      .beta1 = 0.9f, .beta2 = 0.99f, .gain1 = 0.1f, .gain2 = 0.01f, .decay = 0.999f, .step = -0.01f, .epsilon = 1e-8f};
};

Adam8bitParameter parameter(int64_t elements) {
  const int64_t blocks = (elements + cpu::kAdamBlock - 1) / cpu::kAdamBlock;
  return {at::randn({elements}),
          at::randn({elements}) * at::pow(10, at::rand({elements}) * 8 - 6),
          at::randint(256, {elements}, at::kByte),
          at::rand({blocks}),
          at::randint(256, {elements}, at::kByte),
          at::rand({blocks})};
}

/// [n] -> [blocks] repeated over the elements of each block.
at::Tensor spread(const at::Tensor& absmax, int64_t elements) {
  return absmax.repeat_interleave(cpu::kAdamBlock).slice(0, 0, elements);
}

void expect_nearest(const at::Tensor& x, const at::Tensor& values, const at::Tensor& code, const at::Tensor& absmax) {
  const auto share = x / spread(absmax, x.numel());
  const auto want = at::bucketize(share, borders_of(values)).to(at::kByte);
  // The kernel's moments may differ in their last bit, so a number on a border may fall to either side.
  EXPECT_LE((want != code).sum().item<int64_t>(), x.numel() / 1000 + 1);
  const auto got = values.index_select(0, code.to(at::kInt)) * spread(absmax, x.numel());
  EXPECT_LE(((got - x).abs() - (x.abs() * 0.06 + spread(absmax, x.numel()) * 4e-7)).max().item<float>(), 0);
}

TEST(Adam8bitStep, EqualsTheSeparateOperations) {
  at::manual_seed(1);
  const Step step;
  std::vector<Adam8bitParameter> parameters{parameter(256 * 100), parameter(1000), parameter(5),
                                            parameter(256 * 300 + 7)};
  std::vector<Adam8bitParameter> before;
  for (const auto& p : parameters) {
    before.push_back(
        {p.value.clone(), p.gradient.clone(), p.code1.clone(), p.absmax1.clone(), p.code2.clone(), p.absmax2.clone()});
  }
  adam8bit_step(parameters, step.numbers, step.codes1, step.codes2);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& b = before[i];
    const auto& now = parameters[i];
    const int64_t n = b.value.numel();
    const auto m = step.values1.index_select(0, b.code1.to(at::kInt)) * spread(b.absmax1, n) * 0.9 + b.gradient * 0.1;
    const auto v =
        step.values2.index_select(0, b.code2.to(at::kInt)) * spread(b.absmax2, n) * 0.99 + b.gradient.square() * 0.01;
    const auto want = b.value * 0.999 - 0.01 * m / (v.sqrt() + 1e-8);
    EXPECT_TRUE(at::allclose(now.value, want, 1e-4, 1e-6)) << (now.value - want).abs().max().item<float>();
    expect_nearest(m, step.values1, now.code1, now.absmax1);
    expect_nearest(v, step.values2, now.code2, now.absmax2);
  }
}

TEST(Adam8bitStep, RoundsEveryNumberToItsNearestValue) {
  // Moments that are the gradient itself: the codes show the rounding alone.
  Step step;
  step.numbers.beta1 = 0;
  step.numbers.gain1 = 1;
  const auto borders = borders_of(step.values1);
  auto x = at::cat({step.values1, borders, at::nextafter(borders, at::full({}, INFINITY)),
                    at::nextafter(borders, at::full({}, -INFINITY)), at::linspace(-1, 1, 256 * 4 - 256 - 3 * 255)});
  ASSERT_EQ(x.numel(), 256 * 4);
  x.view({4, 256}).select(1, 0).fill_(1);  // each block's largest magnitude
  Adam8bitParameter p = parameter(x.numel());
  p.gradient.copy_(x);
  adam8bit_step({p}, step.numbers, step.codes1, step.codes2);
  EXPECT_TRUE(at::equal(p.code1, at::bucketize(x, borders).to(at::kByte)));
}

TEST(Adam8bitStep, LostGradientsChangeNothingButTheirStates) {
  Step step;
  Adam8bitParameter p = parameter(600);
  p.gradient[3] = NAN;
  p.gradient[500] = INFINITY;
  const auto before = p.value.clone();
  adam8bit_step({p}, step.numbers, step.codes1, step.codes2);
  const auto zero = at::bucketize(at::zeros({1}), borders_of(step.values1)).item<int64_t>();
  for (const int64_t i : {3, 500}) {
    EXPECT_EQ(p.value[i].item<float>(), before[i].item<float>());
    EXPECT_EQ(p.code1[i].item<int64_t>(), zero);
  }
  EXPECT_NE(p.value[4].item<float>(), before[4].item<float>());
  EXPECT_TRUE(at::isfinite(p.value).all().item<bool>());
}

}  // namespace
}  // namespace loraptor::kernels
