// The CLIP encoders against the recorded values of the reference.
#include <gtest/gtest.h>

#include "memory/block_runner.h"
#include "models/clip_text.h"
#include "models/model_parts.h"
#include "support/low_rank_adapter.h"

namespace loraptor::models {
namespace {

using test::GoldenFile;

struct Encoder {
  Part part;
  std::string letter;  // in the names of the golden tensors
};

class GoldenClip : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenClip, hidden_states_and_pooled_match) {
  GoldenFile file(GetParam());
  const std::string model = GetParam().stem().string().substr(std::string("text_").size());
  const double limit = test::tolerance("clip"), pooled_limit = test::tolerance("pooled");
  for (const Encoder& encoder : {Encoder{Part::clip_l, "l"}, Encoder{Part::clip_g, "g"}}) {
    const ClipText clip(test::golden_part(model, encoder.part));
    const auto ids = file["tokens." + encoder.letter + "_ids"].to(at::kLong);
    const auto mask = file["tokens." + encoder.letter + "_mask"].to(at::kLong);
    for (const std::string kind : {"nomask", "mask"}) {
      const auto output = clip.forward(ids, kind == "mask" ? std::optional(mask) : std::nullopt);
      const std::string name = kind + ".clip_" + encoder.letter;
      test::compare_found(file, name + ".hidden", output.hidden, file["rows.clip"], limit);
      if (file.has(name + ".pooled")) file.expect_close(name + ".pooled", output.pooled, pooled_limit);
    }
    const std::string prefix = "layers.clip_" + encoder.letter + ".";
    clip.forward(ids.slice(0, 0, 1), std::nullopt, [&](const std::string& name, const at::Tensor& value) {
      test::compare_found(file, prefix + name, value, file["rows.clip"], limit);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenClip, testing::ValuesIn(test::golden_files("models", "text_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenClip);

at::Tensor clip_ids() {
  auto ids = at::full({2, 77}, 49407, at::kLong);
  for (int64_t i = 0; i < 2; ++i) {
    ids[i][0] = 49406;
    for (int64_t t = 1; t < 8 + i; ++t) ids[i][t] = 100 * t + i;
  }
  return ids;
}

TEST(ClipText, bfloat16_stays_near_float32) {
  const auto model = test::golden_models().front();
  const auto exact = ClipText(test::golden_part(model, Part::clip_g)).forward(clip_ids(), std::nullopt);
  const auto rough = ClipText(test::golden_part(model, Part::clip_g, at::kBFloat16)).forward(clip_ids(), std::nullopt);
  EXPECT_EQ(rough.hidden.scalar_type(), at::kFloat);
  EXPECT_LT((exact.hidden - rough.hidden).norm().item<double>() / exact.hidden.norm().item<double>(), 0.02);
  EXPECT_LT((exact.pooled - rough.pooled).norm().item<double>() / exact.pooled.norm().item<double>(), 0.02);
}

TEST(ClipText, lists_its_layers_in_the_order_adapters_are_made) {
  ClipText clip(test::golden_part(test::golden_models().front(), Part::clip_l));
  std::vector<std::string> paths;
  clip.visit_linears([&](const std::string& path, nn::Linear&) { paths.push_back(path); });
  ASSERT_GE(paths.size(), 6u);
  EXPECT_EQ(paths[0], "text_model.encoder.layers.0.self_attn.k_proj");
  EXPECT_EQ(paths[1], "text_model.encoder.layers.0.self_attn.v_proj");
  EXPECT_EQ(paths[2], "text_model.encoder.layers.0.self_attn.q_proj");
  EXPECT_EQ(paths[3], "text_model.encoder.layers.0.self_attn.out_proj");
  EXPECT_EQ(paths[4], "text_model.encoder.layers.0.mlp.fc1");
  EXPECT_EQ(paths[5], "text_model.encoder.layers.0.mlp.fc2");
}

TEST(GradClip, adapter_gradients_match_finite_differences_and_checkpointing) {
  ClipText clip(test::golden_part(test::golden_models().front(), Part::clip_l));
  std::vector<std::shared_ptr<test::LowRankAdapter>> adapters;
  clip.visit_linears([&](const std::string& path, nn::Linear& layer) {
    adapters.push_back(std::make_shared<test::LowRankAdapter>(path, layer));
    layer.attach(adapters.back());
  });
  const auto loss = [&] {
    const auto output = clip.forward(clip_ids(), std::nullopt);
    return output.hidden.square().mean() + output.pooled.square().mean();
  };
  test::check_adapter_gradients(adapters, loss);
  const auto plain = test::adapter_gradients(adapters, loss);
  clip.set_runner(std::make_shared<memory::CheckpointRunner>());
  const auto recomputed = test::adapter_gradients(adapters, loss);
  test::expect_equal_gradients(recomputed, plain);
}

}  // namespace
}  // namespace loraptor::models
