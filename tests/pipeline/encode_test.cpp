// Captions and images through the encoders.
#include <gtest/gtest.h>

#include <limits>

#include "pipeline/encode_latents.h"
#include "pipeline/encode_text.h"
#include "sample_models.h"
#include "support/low_rank_adapter.h"

namespace loraptor::pipeline {
namespace {

using test::GoldenFile;

class GoldenTextEncoding : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenTextEncoding, captions_give_the_recorded_tokens_and_outputs) {
  GoldenFile file(GetParam());
  const std::string model = GetParam().stem().string().substr(std::string("text_").size());
  const auto captions = file.metadata("prompts").get<std::vector<std::string>>();
  for (const std::string kind : {"nomask", "mask"}) {
    const bool masked = kind == "mask";
    const auto encoding = test::golden_text_encoding(model, {file["tokens.t5_ids"].size(1), masked, masked});
    if (!encoding) GTEST_SKIP() << "no tokenizer vocabularies are installed";
    const auto tokens = encoding->tokenize(captions);
    for (const auto& [name, got] : {std::pair<const char*, at::Tensor>{"tokens.l_ids", tokens.l_ids},
                                    {"tokens.l_mask", tokens.l_mask},
                                    {"tokens.g_ids", tokens.g_ids},
                                    {"tokens.g_mask", tokens.g_mask},
                                    {"tokens.t5_ids", tokens.t5_ids},
                                    {"tokens.t5_mask", tokens.t5_mask}}) {
      file.expect_close(name, got, 0);
    }
    const auto got = encoding->encode(tokens, false);
    const std::string l = kind + ".clip_l.pooled", g = kind + ".clip_g.pooled", t5 = kind + ".t5.hidden_rows";
    if (file.has(l) && file.has(g)) {
      file.expect_close(kind + ".pooled", got.lg_pooled, at::cat({file[l], file[g]}, 1), test::tolerance("pooled"));
    }
    if (file.has(t5)) {
      file.expect_close(t5, got.t5_out.index_select(1, file["rows.t5"].to(at::kLong)), test::tolerance("t5"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTextEncoding,
                         testing::ValuesIn(test::golden_files("models", "text_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTextEncoding);

TEST(TextEncoding, only_loaded_encoders_fill_their_fields_and_gradients_are_wanted_explicitly) {
  auto encoding = test::golden_text_encoding(test::golden_models().front(), {16, false, false});
  if (!encoding) GTEST_SKIP() << "no tokenizer vocabularies are installed";
  test::Adapters adapters;
  encoding->clip_l().visit_linears([&](const std::string& path, nn::Linear& layer) {
    adapters.push_back(std::make_shared<test::LowRankAdapter>(path, layer));
    layer.attach(adapters.back());
  });
  const std::vector<std::string> captions{"a cat", ""};
  EXPECT_FALSE(encoding->encode(captions, false).lg_out.requires_grad());
  const auto trained = encoding->encode(captions, true);
  EXPECT_TRUE(trained.lg_out.requires_grad());
  EXPECT_FALSE(trained.t5_out.requires_grad());
  EXPECT_EQ(trained.t5_out.size(1), 16);
  encoding->release_t5();
  EXPECT_FALSE(encoding->has_t5());
  EXPECT_FALSE(encoding->encode(captions, false).t5_out.defined());
  encoding->release_clip();
  EXPECT_FALSE(encoding->encode(captions, false).lg_pooled.defined());
}

TEST(EncodeImages, chunks_give_what_the_whole_batch_gives) {
  const models::Vae vae(test::golden_model_files(test::golden_models().front()).part(models::Part::vae, {}));
  const auto pixels = test::unit_values("pixels", 3 * 3 * 32 * 16).view({3, 3, 32, 16}).to(at::kFloat);
  const auto noise = [](at::IntArrayRef shape) {
    return test::unit_values("noise", c10::multiply_integers(shape)).view(shape).to(at::kFloat);
  };
  const auto whole = encode_images(vae, pixels, 3, noise), parts = encode_images(vae, pixels, 2, noise);
  EXPECT_EQ(whole.sizes(), at::IntArrayRef({3, 16, 4, 2}));
  EXPECT_LT((whole - parts).abs().max().item<double>(), 1e-5);
}

TEST(EncodeImages, nan_becomes_zero) {
  const models::Vae vae(test::golden_model_files(test::golden_models().front()).part(models::Part::vae, {}));
  auto pixels = test::unit_values("pixels", 2 * 3 * 16 * 16).view({2, 3, 16, 16}).to(at::kFloat);
  pixels[0].fill_(std::numeric_limits<float>::quiet_NaN());
  const auto latents = encode_images(vae, pixels, 1, [](at::IntArrayRef shape) { return at::zeros(shape); });
  EXPECT_EQ(latents[0].abs().sum().item<double>(), 0);
  EXPECT_GT(latents[1].abs().sum().item<double>(), 0);
}

TEST(EncodeImages, an_image_seen_before_gives_the_same_whatever_comes_with_it) {
  const models::Vae vae(test::golden_model_files(test::golden_models().front()).part(models::Part::vae, {}));
  const auto pixels = test::unit_values("pixels", 3 * 3 * 32 * 16).view({3, 3, 32, 16}).to(at::kFloat);
  const auto noise = [](at::IntArrayRef shape) { return at::ones(shape); };
  RecentMoments recent(1 << 20);
  const auto first = encode_images(vae, pixels.narrow(0, 0, 2), recent, noise);
  EXPECT_EQ(recent.size(), 2U);
  const auto second = encode_images(vae, pixels.narrow(0, 1, 2), recent, noise);
  EXPECT_EQ(recent.size(), 3U);
  EXPECT_TRUE(second[0].equal(first[1]));
  EXPECT_LT((second - encode_images(vae, pixels.narrow(0, 1, 2), 2, noise)).abs().max().item<double>(), 1e-5);
  EXPECT_FALSE(
      encode_images(vae, pixels.narrow(0, 1, 1), recent, [](at::IntArrayRef shape) { return at::zeros(shape); })
          .equal(first.narrow(0, 1, 1)))
      << "noise is drawn anew";
}

TEST(Recent, forgets_what_was_not_asked_for_longest) {
  Recent<int> recent(10);
  recent.keep("a", 1, 4);
  recent.keep("b", 2, 4);
  ASSERT_NE(recent.find("a"), nullptr);
  recent.keep("c", 3, 6);
  EXPECT_EQ(recent.find("b"), nullptr);
  ASSERT_NE(recent.find("a"), nullptr);
  EXPECT_EQ(*recent.find("c"), 3);
  recent.keep("too large", 4, 11);
  EXPECT_EQ(recent.size(), 2U);
}

}  // namespace
}  // namespace loraptor::pipeline
