// Text encoders of another model are told before anything is computed.
#include "models/encoder_check.h"

#include <gtest/gtest.h>

#include "models/model_parts.h"
#include "models/sd3_variant.h"
#include "support/refusal.h"
#include "support/temp_folder.h"

namespace loraptor::models {
namespace {

std::string encoder_refusal(const ModelConfig& config) {
  return test::refusal([&] { check_encoders_fit(ModelFiles::open(config)); });
}

void expect_named(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
}

TEST(EncoderCheck, those_of_the_model_fit) {
  for (const auto& model : test::golden_models()) EXPECT_EQ(encoder_refusal(test::golden_config(model)), "") << model;
}

TEST(EncoderCheck, clip_encoders_of_another_width_are_told) {
  auto config = test::golden_config(test::golden_models().front());
  config.clip_l = config.clip_g;
  const auto files = ModelFiles::open(config);
  const auto pooled = detect_variant(files.part(Part::mmdit, {})).pooled_width;
  expect_named(encoder_refusal(config), {*config.clip_l, "--clip_g", fmt::format("that are {} together", pooled)});
}

TEST(EncoderCheck, a_t5_of_another_width_is_told) {
  test::TempFolder folder;
  auto config = test::golden_config(test::golden_models().front());
  const auto width = detect_variant(ModelFiles::open(config).part(Part::mmdit, {})).context_width;
  io::write_safetensors(folder / "half.safetensors",
                        {{"shared.weight", at::zeros({10, width / 2})},
                         {"encoder.block.0.layer.0.SelfAttention.k.weight", at::zeros({width / 2, width / 2})}});
  config.t5xxl = folder / "half.safetensors";
  expect_named(encoder_refusal(config),
               {"half.safetensors", "--t5xxl", fmt::format("got width {}, expected {}", width / 2, width)});
}

TEST(EncoderCheck, encoders_that_are_not_given_are_not_missed) {
  auto config = test::golden_config(test::golden_models().front());
  config.clip_l.reset();
  config.t5xxl.reset();
  EXPECT_EQ(encoder_refusal(config), "");
}

}  // namespace
}  // namespace loraptor::models
