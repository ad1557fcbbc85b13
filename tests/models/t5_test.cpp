// The T5 encoder against the recorded values of the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "memory/block_runner.h"
#include "models/model_parts.h"
#include "models/t5_encoder.h"
#include "support/low_rank_adapter.h"

namespace loraptor::models {
namespace {

using test::GoldenFile;

class GoldenT5 : public testing::TestWithParam<std::filesystem::path> {};

/// "after_layer1_before_final_norm" -> "after_layer1"
std::string trace_name(std::string golden, const std::string& prefix) {
  for (const std::string part : {"_rows", "_before_final_norm"}) {
    if (golden.ends_with(part)) golden.resize(golden.size() - part.size());
  }
  return golden.substr(prefix.size());
}

TEST_P(GoldenT5, hidden_states_match) {
  GoldenFile file(GetParam());
  const std::string model = GetParam().stem().string().substr(std::string("text_").size());
  const double limit = test::tolerance("t5");
  const T5Encoder t5(test::golden_part(model, Part::t5xxl));
  const auto ids = file["tokens.t5_ids"].to(at::kLong), mask = file["tokens.t5_mask"].to(at::kLong);
  test::compare_found(file, "nomask.t5.hidden", t5.forward(ids, std::nullopt), file["rows.t5"], limit);
  test::compare_found(file, "mask.t5.hidden", t5.forward(ids, mask), file["rows.t5"], limit);

  const auto short_rows = at::tensor({0, 1, 5, 10, 11, 12, 40, 76}, at::kLong);
  const auto first = ids.slice(0, 0, 1).slice(1, 0, 77);
  test::compare_found(file, "t5len77.nomask.t5.hidden", t5.forward(first, std::nullopt), short_rows, limit);
  test::compare_found(file, "t5len77.mask.t5.hidden", t5.forward(first, mask.slice(0, 0, 1).slice(1, 0, 77)),
                      short_rows, limit);

  std::map<std::string, at::Tensor> traced;
  t5.forward(ids.slice(0, 0, 1), std::nullopt,
             [&](const std::string& name, const at::Tensor& value) { traced[name] = value; });
  for (const auto& name : file.names_starting("layers.t5.")) {
    auto value = traced.at(trace_name(name, "layers.t5."));
    if (name.ends_with("_rows")) value = value.index_select(1, file["rows.t5"].to(at::kLong));
    file.expect_close(name, value, limit);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenT5, testing::ValuesIn(test::golden_files("models", "text_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenT5);

at::Tensor t5_ids() { return at::arange(3, 3 + 2 * 20, at::kLong).view({2, 20}); }

TEST(T5Encoder, position_buckets_follow_the_paper) {
  const auto table = relative_position_buckets(300, 32);
  const auto bucket = [&](int64_t query, int64_t key) { return table[query][key].item<int64_t>(); };
  EXPECT_EQ(bucket(5, 5), 0);
  EXPECT_EQ(bucket(5, 4), 1);
  EXPECT_EQ(bucket(4, 5), 17);
  EXPECT_EQ(bucket(20, 12), 8);
  EXPECT_EQ(bucket(12, 20), 24);
  EXPECT_EQ(bucket(299, 0), 15);
  EXPECT_EQ(bucket(0, 299), 31);
  EXPECT_EQ(bucket(128, 0), 15);
  EXPECT_EQ(bucket(11, 0), 8);
  EXPECT_EQ(bucket(12, 0), 9);
}

TEST(T5Encoder, bfloat16_and_float16_stay_near_float32) {
  const auto model = test::golden_models().front();
  const auto exact = T5Encoder(test::golden_part(model, Part::t5xxl)).forward(t5_ids(), std::nullopt);
  for (const auto& [dtype, limit] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.02}}) {
    const auto rough = T5Encoder(test::golden_part(model, Part::t5xxl, dtype)).forward(t5_ids(), std::nullopt);
    EXPECT_EQ(rough.scalar_type(), at::kFloat);
    EXPECT_LT((exact - rough).norm().item<double>() / exact.norm().item<double>(), limit) << at::toString(dtype);
  }
}

TEST(T5Encoder, masked_padding_changes_nothing_before_it) {
  const T5Encoder t5(test::golden_part(test::golden_models().front(), Part::t5xxl));
  auto mask = at::ones({2, 20}, at::kLong);
  mask.slice(1, 12).zero_();
  auto other = t5_ids();
  other.slice(1, 12).fill_(77);
  const auto a = t5.forward(t5_ids(), mask).slice(1, 0, 12), b = t5.forward(other, mask).slice(1, 0, 12);
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-4);
}

TEST(T5Encoder, dropout_changes_the_output_as_much_as_that_of_transformers) {
  constexpr const char* kModel = "tiny_sd35m";
  const auto models = test::golden_models();
  if (std::find(models.begin(), models.end(), kModel) == models.end()) GTEST_SKIP() << "no " << kModel;
  const T5Encoder t5(test::golden_part(kModel, Part::t5xxl));
  const auto plain = t5.forward(t5_ids(), std::nullopt);
  constexpr int64_t kDraws = 400;
  at::Tensor sum = at::zeros_like(plain), squares = at::zeros_like(plain);
  int64_t zeros = 0;
  for (int64_t step = 0; step < kDraws; ++step) {
    const auto output = t5.forward(t5_ids(), std::nullopt, {}, {.rate = 0.1, .micro_step = step});
    sum += output;
    squares += (output - plain).square();
    zeros += output.eq(0).sum().item<int64_t>();
  }
  const auto size = [](const at::Tensor& x) { return x.norm().item<double>(); };
  // 400 draws of T5EncoderModel (transformers 4.54) in training mode gave these.
  EXPECT_NEAR(std::sqrt(squares.sum().item<double>() / kDraws) / size(plain), 1.1044, 0.02);
  EXPECT_NEAR(size(sum / kDraws - plain) / size(plain), 0.6466, 0.02);
  EXPECT_NEAR(static_cast<double>(zeros) / static_cast<double>(kDraws * plain.numel()), 0.1, 0.002);
}

TEST(T5Encoder, dropout_is_drawn_anew_in_each_step_and_the_same_in_16_bits) {
  const auto model = test::golden_models().front();
  const T5Encoder t5(test::golden_part(model, Part::t5xxl)), half(test::golden_part(model, Part::t5xxl, at::kHalf));
  const auto output = [](const T5Encoder& encoder, double rate, int64_t step) {
    return encoder.forward(t5_ids(), std::nullopt, {}, {.rate = rate, .micro_step = step});
  };
  EXPECT_TRUE(at::equal(output(t5, 0.1, 3), output(t5, 0.1, 3)));
  EXPECT_FALSE(at::equal(output(t5, 0.1, 3), output(t5, 0.1, 4)));
  EXPECT_TRUE(at::equal(output(t5, 0, 3), t5.forward(t5_ids(), std::nullopt)));
  const auto exact = output(t5, 0.1, 3);
  EXPECT_LT((exact - output(half, 0.1, 3)).norm().item<double>() / exact.norm().item<double>(), 0.02);
}

TEST(GradT5, dropout_is_the_same_in_a_recomputed_layer) {
  T5Encoder t5(test::golden_part(test::golden_models().front(), Part::t5xxl));
  test::Adapters adapters;
  t5.visit_linears([&](const std::string& path, nn::Linear& layer) {
    adapters.push_back(std::make_shared<test::LowRankAdapter>(path, layer));
    layer.attach(adapters.back());
  });
  const auto loss = [&] {
    return t5.forward(t5_ids(), std::nullopt, {}, {.rate = 0.3, .micro_step = 1}).square().slice(2, 0, 50).mean();
  };
  const auto plain = test::adapter_gradients(adapters, loss);
  t5.set_runner(std::make_shared<memory::CheckpointRunner>());
  test::expect_equal_gradients(test::adapter_gradients(adapters, loss), plain);
}

TEST(GradT5, adapter_gradients_match_finite_differences_and_checkpointing) {
  T5Encoder t5(test::golden_part(test::golden_models().front(), Part::t5xxl));
  test::Adapters adapters;
  t5.visit_linears([&](const std::string& path, nn::Linear& layer) {
    adapters.push_back(std::make_shared<test::LowRankAdapter>(path, layer));
    layer.attach(adapters.back());
  });
  const auto loss = [&] { return t5.forward(t5_ids(), std::nullopt).square().slice(2, 0, 50).mean(); };
  const auto plain = test::adapter_gradients(adapters, loss);
  test::check_adapter_gradients(adapters, loss);
  t5.set_runner(std::make_shared<memory::CheckpointRunner>());
  const auto recomputed = test::adapter_gradients(adapters, loss);
  test::expect_equal_gradients(recomputed, plain);
}

}  // namespace
}  // namespace loraptor::models
