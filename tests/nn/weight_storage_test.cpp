// Frozen weights as float8.
#include <gtest/gtest.h>

#include "nn/linear.h"
#include "support/golden.h"

namespace loraptor::nn {
namespace {

at::Tensor values(const std::string& key, at::IntArrayRef shape) {
  return test::unit_values(key, c10::multiply_integers(shape)).view(shape).to(at::kFloat);
}

TEST(Fp8Weight, KeepsEveryRowToItsOwnScale) {
  auto weight = values("fp8", {64, 48});
  weight[3].mul_(1e-4);
  weight[4].mul_(1e4);
  weight[5].zero_();
  const auto stored = fp8_weight(weight, at::kFloat);
  EXPECT_EQ(stored->storage_dtype(), at::kFloat8_e4m3fn);
  const auto largest = weight.abs().amax({1}, true);
  const auto error = (stored->read() - weight).abs();
  // Half a unit of three mantissa bits, or of the smallest step that the row's scale leaves.
  EXPECT_TRUE(error.le(weight.abs() / 16 + largest * 3e-6).all().item<bool>());
  EXPECT_GT(error[3].max().item<double>(), 0);
  EXPECT_TRUE(at::equal(stored->read()[5], weight[5]));
}

TEST(Fp8Weight, ProductsAreThoseOfTheWeightItReads) {
  const auto stored = fp8_weight(values("fp8", {64, 48}), at::kFloat);
  const auto x = values("x", {9, 48}), bias = values("b", {64}), g = values("g", {9, 64});
  EXPECT_TRUE(at::allclose(stored->product(x, bias), at::linear(x, stored->read(), bias), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(stored->input_gradient()(g), g.mm(stored->read()), 1e-5, 1e-5));
  EXPECT_TRUE(at::equal(stored->reader()(), stored->read()));
}

TEST(Fp8Weight, WhatIsMergedIsRoundedToo) {
  const auto weight = values("fp8", {64, 48}), delta = values("delta", {64, 48});
  const auto stored = fp8_weight(weight, at::kFloat);
  const auto before = stored->read();
  stored->add(delta);
  EXPECT_EQ(stored->storage_dtype(), at::kFloat8_e4m3fn);
  EXPECT_TRUE(at::equal(stored->read(), fp8_weight(before + delta, at::kFloat)->read()));
}

TEST(Fp8Weight, ALinearStaysCloseToItself) {
  const auto weight = values("fp8", {64, 48}), bias = values("b", {64});
  Linear layer(weight, bias);
  auto x = values("x", {9, 48}).requires_grad_();
  const auto want = layer.forward(x).detach();
  layer.store_as_fp8();
  const auto got = layer.forward(x);
  const double error = (got.detach() - want).norm().item<double>() / want.norm().item<double>();
  EXPECT_LT(error, 0.04);
  EXPECT_GT(error, 1e-4);
  got.sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), layer.weight().read().sum(0).expand({9, 48}), 1e-4, 1e-4));
}

}  // namespace
}  // namespace loraptor::nn
