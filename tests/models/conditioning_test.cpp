// Text conditioning against the recorded values of the reference.
#include <gtest/gtest.h>

#include "models/clip_text.h"
#include "models/conditioning.h"
#include "models/model_parts.h"
#include "models/t5_encoder.h"

namespace loraptor::models {
namespace {

using test::GoldenFile;

class GoldenConditioning : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenConditioning, context_and_pooled_match) {
  GoldenFile file(GetParam());
  const std::string model = GetParam().stem().string().substr(std::string("text_").size());
  const auto ids = [&](const char* letter) { return file[fmt::format("tokens.{}_ids", letter)].to(at::kLong); };
  const auto l = ClipText(test::golden_part(model, Part::clip_l)).forward(ids("l"), std::nullopt);
  const auto g = ClipText(test::golden_part(model, Part::clip_g)).forward(ids("g"), std::nullopt);
  const auto t5 = T5Encoder(test::golden_part(model, Part::t5xxl)).forward(ids("t5"), std::nullopt);
  const auto got = assemble_conditioning({at::cat({l.hidden, g.hidden}, 2), t5, at::cat({l.pooled, g.pooled}, 1)});
  if (file.has("nomask.y")) file.expect_close("nomask.y", got.pooled, test::tolerance("pooled"));
  for (int64_t i = 0; i < got.context.size(0); ++i) {
    const std::string name = fmt::format("nomask.context.prompt{}", i);
    if (file.has(name)) file.expect_close(name, got.context.slice(0, i, i + 1), test::tolerance("context"));
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenConditioning,
                         testing::ValuesIn(test::golden_files("models", "text_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenConditioning);

TEST(Conditioning, clip_tokens_are_padded_with_zeros_and_come_first) {
  const auto got = assemble_conditioning(
      {at::ones({2, 3, 4}, at::kBFloat16), at::full({2, 5, 7}, 2.0, at::kHalf), at::ones({2, 4}, at::kBFloat16)});
  EXPECT_EQ(got.context.sizes(), at::IntArrayRef({2, 8, 7}));
  EXPECT_EQ(got.context.scalar_type(), at::kFloat);
  EXPECT_EQ(got.context.slice(1, 0, 3).slice(2, 0, 4).sum().item<double>(), 2 * 3 * 4);
  EXPECT_EQ(got.context.slice(1, 0, 3).slice(2, 4).abs().sum().item<double>(), 0);
  EXPECT_EQ(got.context.slice(1, 3).min().item<double>(), 2);
}

TEST(Conditioning, a_shorter_text_is_padded_when_batches_are_joined) {
  const auto joined = join_batch({at::ones({1, 4, 2}), at::ones({1, 3})}, {at::ones({2, 6, 2}), at::zeros({2, 3})});
  EXPECT_EQ(joined.context.sizes(), at::IntArrayRef({3, 6, 2}));
  EXPECT_EQ(joined.context[0].sum().item<double>(), 8);
  EXPECT_EQ(joined.pooled.sizes(), at::IntArrayRef({3, 3}));
}

}  // namespace
}  // namespace loraptor::models
