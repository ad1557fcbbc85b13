// Layers: the Linear and its adapter, patches, position windows.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "nn/linear.h"
#include "nn/patch_embed.h"
#include "nn/position_embedding.h"
#include "nn/timestep_embedding.h"

namespace loraptor::nn {
namespace {

class Doubling : public LinearAdapter {
 public:
  at::Tensor forward(const at::Tensor& x, const WeightStorage& weight, const at::Tensor& bias) const override {
    seen = x.scalar_type();
    return at::linear(x, weight.read(), bias) * 2;
  }
  std::vector<at::Tensor> parameters() const override { return {}; }
  mutable at::ScalarType seen = at::kByte;
};

TEST(Linear, computes_in_its_compute_dtype_and_applies_the_adapter) {
  Linear layer(at::randn({4, 6}).to(at::kBFloat16), at::randn({4}).to(at::kBFloat16));
  const auto x = at::randn({2, 3, 6});
  const auto plain = layer.forward(x);
  EXPECT_EQ(plain.scalar_type(), layer.compute_dtype());
  EXPECT_EQ(plain.sizes(), (at::IntArrayRef{2, 3, 4}));
  const auto adapter = std::make_shared<Doubling>();
  layer.attach(adapter);
  EXPECT_TRUE(at::equal(layer.forward(x), plain * 2));
  EXPECT_EQ(adapter->seen, layer.compute_dtype());
  layer.detach();
  EXPECT_TRUE(at::equal(layer.forward(x), plain));
}

TEST(Linear, a_kernel_over_patches_equals_the_convolution) {
  const auto kernel = at::randn({8, 3, 2, 2}), bias = at::randn({8}), image = at::randn({2, 3, 4, 6});
  const Linear layer(kernel, bias);
  EXPECT_EQ(layer.kernel_shape(), (std::vector<int64_t>{3, 2, 2}));
  const auto want = at::conv2d(image, kernel, bias, 2).flatten(2).transpose(1, 2);
  EXPECT_LT((layer.forward(patchify(image, 2)) - want).abs().max().item<float>(), 1e-5f);
}

TEST(PlainWeight, products_of_few_and_of_many_rows_are_those_of_the_library) {
  const auto matrix = at::randn({300, 70}), bias = at::randn({300});
  const auto weight = plain_weight(matrix);
  for (const int64_t rows : {1, 2, 8, 9}) {
    const auto x = at::randn({rows, 70}), g = at::randn({rows, 300});
    EXPECT_LT((weight->product(x, bias) - at::linear(x, matrix, bias)).abs().max().item<float>(), 1e-4f) << rows;
    EXPECT_LT((weight->product(x, {}) - at::linear(x, matrix)).abs().max().item<float>(), 1e-4f) << rows;
    EXPECT_LT((weight->input_gradient()(g) - g.mm(matrix)).abs().max().item<float>(), 1e-4f) << rows;
  }
}

TEST(ConvertedWeight, equals_the_product_with_the_converted_weight) {
  const auto stored = at::randn({3000, 700}).to(at::kBFloat16);  // several parts, the last one shorter
  const auto weight = converted_weight(stored, at::kFloat);
  const auto whole = stored.to(at::kFloat), x = at::randn({5, 700}), bias = at::randn({3000}), g = at::randn({5, 3000});
  EXPECT_EQ(weight->compute_dtype(), at::kFloat);
  EXPECT_EQ(weight->storage_dtype(), at::kBFloat16);
  EXPECT_LT((weight->product(x, bias) - at::linear(x, whole, bias)).abs().max().item<float>(), 1e-3f);
  EXPECT_LT((weight->product(x, {}) - at::linear(x, whole)).abs().max().item<float>(), 1e-3f);
  EXPECT_LT((weight->input_gradient()(g) - g.mm(whole)).abs().max().item<float>(), 1e-3f);
  EXPECT_TRUE(at::equal(weight->reader()(), whole));
}

TEST(Linear, passes_gradients_through_half_precision_weights) {
  const auto stored = at::randn({6, 4}).to(at::kHalf);
  const Linear layer(stored, at::randn({6}).to(at::kHalf));
  const auto x = at::randn({2, 3, 4}).requires_grad_();
  const auto g = at::randn({2, 3, 6});
  const auto y = layer.forward(x);
  ASSERT_EQ(y.sizes(), g.sizes());
  const auto dx = torch::autograd::grad({y.to(at::kFloat)}, {x}, {g})[0];
  EXPECT_LT((dx - at::matmul(g, stored.to(at::kFloat))).abs().max().item<float>(), 1e-2f);
}

TEST(Linear, works_without_a_bias_in_every_dtype) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const auto weight = at::randn({5, 3}).to(dtype);
    const auto x = at::randn({4, 3});
    const auto got = nn::Linear(weight).forward(x).to(at::kFloat);
    EXPECT_LT((got - x.matmul(weight.to(at::kFloat).t())).abs().max().item<float>(), 0.1f) << at::toString(dtype);
  }
}

TEST(PatchEmbed, unpatchify_puts_row_column_channel_back) {
  auto tokens = at::zeros({1, 6, 8});   // 2 x 3 patches, 2 channels
  tokens[0][4][0 * 4 + 1 * 2 + 1] = 5;  // patch (1,1), row 0, column 1, channel 1
  const auto image = unpatchify(tokens, 2, 4, 6);
  EXPECT_EQ(image.sizes(), (at::IntArrayRef{1, 2, 4, 6}));
  EXPECT_EQ(image[0][1][2][3].item<float>(), 5);
  EXPECT_EQ(image.sum().item<float>(), 5);
}

TEST(PositionWindow, is_centred_towards_the_corner_and_movable) {
  const auto table = at::arange(25, at::kHalf).reshape({1, 25, 1});
  const auto centred = position_window(table, 2, 3);
  EXPECT_EQ(centred.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(centred.flatten(), at::tensor({6.f, 7.f, 8.f, 11.f, 12.f, 13.f})));
  EXPECT_TRUE(at::equal(position_window(table, 1, 2, PositionCrop{4, 3}).flatten(), at::tensor({23.f, 24.f})));
  EXPECT_THROW(position_window(table, 1, 2, PositionCrop{4, 4}), UsageError);
  EXPECT_THROW(position_window(table, 1, 6), UsageError);
}

TEST(TimestepEmbedding, puts_cosines_first) {
  const auto e = timestep_sincos(at::tensor({0.f, 3.f}), 8);
  EXPECT_TRUE(at::equal(e[0], at::tensor({1.f, 1.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f})));
  EXPECT_FLOAT_EQ(e[1][0].item<float>(), std::cos(3.f));
  EXPECT_FLOAT_EQ(e[1][5].item<float>(), std::sin(0.3f));
}

}  // namespace
}  // namespace loraptor::nn
