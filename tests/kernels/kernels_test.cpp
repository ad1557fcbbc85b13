// Each fused kernel against ATen's operators, and its gradients against numerical ones.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/gated_residual.h"
#include "kernels/gelu_tanh.h"
#include "kernels/layer_norm_modulate.h"
#include "kernels/split_heads.h"
#include "support/gradient_check.h"

namespace loraptor::kernels {
namespace {

using test::expect_same_gradients;
using test::TensorFunction;

constexpr int64_t kBatch = 3, kTokens = 5, kWidth = 128;

at::Tensor random(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) { return at::randn(shape).to(dtype); }

std::vector<at::Tensor> modulation_inputs(at::ScalarType dtype) {
  // Slices of a wider tensor, as the modulation layers give them.
  const auto wide = random({kBatch, 3 * kWidth}, dtype);
  return {random({kBatch, kTokens, kWidth}) * 2 + 1, wide.slice(1, 0, kWidth), wide.slice(1, kWidth, 2 * kWidth)};
}

TensorFunction layer_norm(at::ScalarType dtype, bool plain) {
  return [dtype, plain](const std::vector<at::Tensor>& in) {
    const auto function = plain ? layer_norm_modulate_plain : layer_norm_modulate;
    return std::vector<at::Tensor>{function(in[0], in[1], in[2], 1e-6, dtype)};
  };
}

TEST(GradLayerNormModulate, equals_the_plain_composition) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    SCOPED_TRACE(at::toString(dtype));
    expect_same_gradients(layer_norm(dtype, false), layer_norm(dtype, true), modulation_inputs(dtype));
  }
}

TEST(GradLayerNormModulate, plain_composition_has_numerical_gradients) {
  test::expect_numerical_gradients(layer_norm(at::kDouble, true), modulation_inputs(at::kDouble));
}

std::vector<at::Tensor> gate_inputs(at::ScalarType dtype) {
  return {random({kBatch, kTokens, kWidth}), random({kBatch, 2 * kWidth}, dtype).slice(1, kWidth),
          random({kBatch, kTokens, kWidth}, dtype)};
}

TensorFunction gated(bool plain) {
  return [plain](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{(plain ? gated_residual_plain : gated_residual)(in[0], in[1], in[2])};
  };
}

TEST(GradGatedResidual, equals_the_plain_composition) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    SCOPED_TRACE(at::toString(dtype));
    expect_same_gradients(gated(false), gated(true), gate_inputs(dtype));
  }
}

TEST(GradGatedResidual, plain_composition_has_numerical_gradients) {
  test::expect_numerical_gradients(gated(true), gate_inputs(at::kDouble));
}

TEST(GradGatedResidual, a_gate_without_gradient_needs_no_branch) {
  auto in = gate_inputs(at::kFloat);
  in[2].requires_grad_();
  const auto out = gated_residual(in[0], in[1], in[2]);
  const auto gradient = torch::autograd::grad({out.sum()}, {in[2]})[0];
  EXPECT_TRUE(at::equal(gradient, in[1].unsqueeze(1).expand_as(gradient)));
}

TensorFunction gelu(bool plain) {
  return [plain](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{plain ? at::gelu(in[0], "tanh") : gelu_tanh(in[0])};
  };
}

TEST(GradGeluTanh, equals_atens) {
  expect_same_gradients(gelu(false), gelu(true), {random({kBatch, kTokens, kWidth}) * 3});
}

TEST(GeluTanh, values_and_slopes_are_close_to_double_everywhere) {
  const auto x =
      at::cat({at::linspace(-12, 12, 200001), at::tensor({-1e18f, -1e9f, -100.f, -0.f, 0.f, 100.f, 1e9f, 1e18f})});
  auto exact = x.to(at::kDouble).requires_grad_();
  // (1 + tanh(u)) / 2 = sigmoid(2u), but 1 + tanh(u) itself loses what is left of a number near zero.
  const auto want = exact * at::sigmoid(2 * std::sqrt(2 / M_PI) * (exact + 0.044715 * exact.pow(3)));
  auto leaf = x.clone().requires_grad_();
  const auto y = gelu_tanh(leaf);
  EXPECT_TRUE(at::equal(y.detach(), gelu_tanh(x)));  // with and without a slope
  // Far out the exponent is near -87, where each unit in its last place changes the value by 8e-6.
  const auto error = (y.detach() - want.detach()).abs() - 4e-5 * want.detach().abs();
  EXPECT_LT(error.max().item<double>(), 1e-36);
  const auto slope = torch::autograd::grad({y.sum()}, {leaf})[0];
  const auto exact_slope = torch::autograd::grad({want.sum()}, {exact})[0];
  EXPECT_LT((slope - exact_slope).abs().max().item<double>(), 5e-7);
}

// Two sources of different length, or one; q and k norms if wanted.
TensorFunction heads(bool plain, bool norm) {
  const auto weight = [norm](int seed) { return norm ? at::linspace(0.5, 1.5, kWidth / 4).roll(seed) : at::Tensor(); };
  return [=](const std::vector<at::Tensor>& in) {
    std::vector<QkvSource> sources;
    for (const auto& qkv : in) sources.push_back({qkv, weight(1 + sources.size()), weight(7 + sources.size())});
    const auto out = plain ? split_heads_plain(sources, 4) : split_heads(sources, 4);
    return std::vector<at::Tensor>{out.q, out.k, out.v};
  };
}

TEST(GradSplitHeads, equals_the_plain_composition) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool norm : {false, true}) {
      SCOPED_TRACE(fmt::format("{} norm {}", at::toString(dtype), norm));
      const auto context = random({kBatch, 3, 3 * kWidth}, dtype), image = random({kBatch, 6, 3 * kWidth}, dtype);
      expect_same_gradients(heads(false, norm), heads(true, norm), {context, image});
      expect_same_gradients(heads(false, norm), heads(true, norm), {image});
    }
  }
}

TEST(GradSplitHeads, plain_composition_has_numerical_gradients) {
  test::expect_numerical_gradients(heads(true, true),
                                   {random({2, 2, 3 * kWidth}, at::kDouble), random({2, 1, 3 * kWidth}, at::kDouble)});
}

TEST(GradSplitHeads, a_source_that_does_not_attend_has_no_queries) {
  const auto without = [](bool plain) -> TensorFunction {
    return [plain](const std::vector<at::Tensor>& in) {
      const std::vector<QkvSource> sources{{in[0], {}, {}, false}, {in[1], {}, {}, true}};
      const auto out = plain ? split_heads_plain(sources, 4) : split_heads(sources, 4);
      EXPECT_EQ(out.q.size(2), in[1].size(1));
      EXPECT_EQ(out.k.size(2), in[0].size(1) + in[1].size(1));
      return std::vector<at::Tensor>{out.q, out.k, out.v};
    };
  };
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    expect_same_gradients(without(false), without(true),
                          {random({kBatch, 3, 3 * kWidth}, dtype), random({kBatch, 6, 3 * kWidth}, dtype)});
  }
}

TEST(SplitHeads, context_comes_before_image_tokens) {
  const auto context = at::ones({1, 2, 3 * kWidth}), image = at::zeros({1, 3, 3 * kWidth});
  const auto out = split_heads({{context, {}, {}}, {image, {}, {}}}, 4);
  EXPECT_EQ(out.v.sizes(), (at::IntArrayRef{1, 4, 5, kWidth / 4}));
  EXPECT_TRUE(
      at::equal(out.v.sum({0, 1, 3}), at::tensor({kWidth, kWidth, int64_t{0}, int64_t{0}, int64_t{0}}).to(at::kFloat)));
}

TEST(LayerNormModulate, keeps_nan_visible_in_bf16) {
  auto x = random({1, 1, kWidth});
  x[0][0][3] = std::numeric_limits<float>::quiet_NaN();
  const auto none = at::zeros({1, kWidth});
  EXPECT_TRUE(layer_norm_modulate(x, none, none, 1e-6, at::kBFloat16).isnan().all().item<bool>());
}

TEST(LayerNormModulate, rounds_to_bf16_like_aten) {
  const auto in = modulation_inputs(at::kFloat);
  const auto exact = layer_norm_modulate(in[0], in[1], in[2], 1e-6, at::kFloat);
  EXPECT_TRUE(at::equal(exact.to(at::kBFloat16), layer_norm_modulate(in[0], in[1], in[2], 1e-6, at::kBFloat16)));
}

}  // namespace
}  // namespace loraptor::kernels
