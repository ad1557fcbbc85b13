// The fused layer against plain autograd: outputs and gradients, with masks, separate pairs and mixed dtypes.
#include "network/lora_linear.h"

#include <gtest/gtest.h>

namespace loraptor::network {
namespace {

struct Problem {
  at::Tensor x, weight, bias;
  LowRankTerm term;
};

Problem make_problem(at::IntArrayRef leading, int64_t splits, at::ScalarType dtype) {
  at::manual_seed(11);
  const int64_t in = 5, out = 6, rank = 2;
  const auto options = at::TensorOptions(dtype);
  auto shape = leading.vec();
  shape.push_back(in);
  Problem problem;
  problem.x = at::randn(shape, options).requires_grad_();
  problem.weight = at::randn({out, in}, options);
  problem.bias = at::randn({out}, options);
  problem.term.down = at::randn({splits * rank, in}, options).requires_grad_();
  problem.term.up = at::randn({out, rank}, options).requires_grad_();
  problem.term.scale = 0.7;
  problem.term.splits = splits;
  return problem;
}

at::Tensor fused(const Problem& problem) {
  return low_rank_linear(problem.x, *nn::plain_weight(problem.weight), problem.bias, problem.term);
}

/// The same from elementary operations.
at::Tensor plain(const Problem& problem) {
  const auto& term = problem.term;
  auto h = at::matmul(problem.x, term.down.t());
  if (term.mask.defined()) h = h * term.mask;
  std::vector<at::Tensor> parts;
  const auto hs = h.chunk(term.splits, -1), ups = term.up.chunk(term.splits, 0);
  for (size_t i = 0; i < hs.size(); ++i) parts.push_back(at::matmul(hs[i], ups[i].t()));
  return at::linear(problem.x, problem.weight, problem.bias) + at::cat(parts, -1) * term.scale;
}

double loss_of(const Problem& problem) {
  const at::NoGradGuard no_grad;
  return fused(problem).sin().sum().item<double>();
}

/// Largest difference between the gradient of `tensor` and central differences, float64.
double jacobian_error(const Problem& problem, at::Tensor tensor) {
  constexpr double kStep = 1e-5;
  const auto gradient = tensor.grad().contiguous();
  auto values = tensor.detach().view(-1);
  double worst = 0;
  for (int64_t i = 0; i < values.numel(); ++i) {
    const double kept = values[i].item<double>();
    values[i] = kept + kStep;
    const double above = loss_of(problem);
    values[i] = kept - kStep;
    const double below = loss_of(problem);
    values[i] = kept;
    worst = std::max(worst, std::abs((above - below) / (2 * kStep) - gradient.view(-1)[i].item<double>()));
  }
  return worst;
}

class GradLowRankLinear : public ::testing::TestWithParam<std::tuple<int64_t, bool>> {};

TEST_P(GradLowRankLinear, equals_central_differences_in_float64) {
  const auto [splits, masked] = GetParam();
  auto problem = make_problem({3, 4}, splits, at::kDouble);
  if (masked) problem.term.mask = at::rand({3, 1, splits * 2}, at::kDouble);
  fused(problem).sin().sum().backward();
  for (const auto& tensor : {problem.x, problem.term.down, problem.term.up}) {
    EXPECT_LT(jacobian_error(problem, tensor), 1e-8);
  }
}

INSTANTIATE_TEST_SUITE_P(all, GradLowRankLinear, ::testing::Combine(::testing::Values(1, 3), ::testing::Bool()));

TEST(low_rank_linear, outputs_and_gradients_equal_the_elementary_operations) {
  for (const int64_t splits : {1, 3}) {
    auto got = make_problem({7}, splits, at::kDouble), want = make_problem({7}, splits, at::kDouble);
    const auto y = fused(got), z = plain(want);
    EXPECT_TRUE(y.allclose(z, 0, 1e-12));
    y.sin().sum().backward();
    z.sin().sum().backward();
    EXPECT_TRUE(got.x.grad().allclose(want.x.grad(), 0, 1e-12));
    EXPECT_TRUE(got.term.down.grad().allclose(want.term.down.grad(), 0, 1e-12));
    EXPECT_TRUE(got.term.up.grad().allclose(want.term.up.grad(), 0, 1e-12));
  }
}

TEST(low_rank_linear, float32_parameters_over_bfloat16_weights_get_float32_gradients) {
  auto problem = make_problem({2, 40}, 1, at::kFloat);
  problem.weight = problem.weight.to(at::kBFloat16);
  problem.bias = problem.bias.to(at::kBFloat16);
  auto reference = problem;
  reference.weight = problem.weight.to(at::kFloat);
  reference.bias = problem.bias.to(at::kFloat);
  const auto x = problem.x.detach().to(at::kBFloat16).requires_grad_();
  const auto y = low_rank_linear(x, *nn::plain_weight(problem.weight), problem.bias, problem.term);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.to(at::kFloat).sum().backward();
  const auto down = problem.term.down.grad().clone();
  EXPECT_EQ(down.scalar_type(), at::kFloat);
  problem.term.down.mutable_grad() = at::Tensor();
  plain(reference).sum().backward();
  EXPECT_LT((down - problem.term.down.grad()).norm().item<double>(), 0.02 * down.norm().item<double>());
}

TEST(low_rank_linear, a_weight_that_is_converted_on_use_gives_the_same) {
  auto got = make_problem({7}, 3, at::kFloat), want = make_problem({7}, 3, at::kFloat);
  const auto stored = got.weight.to(at::kBFloat16);
  want.weight = stored.to(at::kFloat);
  low_rank_linear(got.x, *nn::converted_weight(stored, at::kFloat), got.bias, got.term).sin().sum().backward();
  plain(want).sin().sum().backward();
  EXPECT_TRUE(got.x.grad().allclose(want.x.grad(), 1e-5, 1e-5));
  EXPECT_TRUE(got.term.down.grad().allclose(want.term.down.grad(), 1e-5, 1e-5));
  EXPECT_TRUE(got.term.up.grad().allclose(want.term.up.grad(), 1e-5, 1e-5));
}

TEST(low_rank_linear, an_input_without_gradient_gets_none) {
  auto problem = make_problem({7}, 1, at::kFloat);
  problem.x = problem.x.detach();
  fused(problem).sum().backward();
  EXPECT_FALSE(problem.x.grad().defined());
  EXPECT_TRUE(problem.term.down.grad().defined());
}

TEST(low_rank_linear, gradients_accumulate_in_place) {
  auto problem = make_problem({7}, 1, at::kFloat);
  auto buffer = at::zeros_like(problem.term.down);
  problem.term.down.mutable_grad() = buffer;
  fused(problem).sum().backward();
  const auto once = buffer.clone();
  fused(problem).sum().backward();
  EXPECT_GT(once.abs().sum().item<double>(), 0);
  EXPECT_TRUE(buffer.allclose(2 * once));
  EXPECT_TRUE(problem.term.down.grad().is_same(buffer));
}

}  // namespace
}  // namespace loraptor::network
