// Formats are told apart, changed into each other, and described.
#include "network/lora_formats.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/atomic_file.h"
#include "base/error.h"
#include "network/lora_file.h"
#include "network/lora_report.h"
#include "support/golden.h"
#include "support/refusal.h"
#include "support/temp_folder.h"

namespace loraptor::network {
namespace {

const std::string kModule = "lora_unet_joint_blocks_0_x_block_attn_qkv";

io::NamedTensors native(double alpha) {
  at::manual_seed(1);
  return {{kModule + ".alpha", at::scalar_tensor(alpha)},
          {kModule + ".lora_down.weight", at::randn({2, 8})},
          {kModule + ".lora_up.weight", at::randn({24, 2})}};
}

at::Tensor named(const io::NamedTensors& tensors, const std::string& name) {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return tensor;
  }
  throw std::out_of_range(name);
}

at::Tensor delta(const io::NamedTensors& tensors) {
  return LoraPair{named(tensors, kModule + ".lora_down.weight"), named(tensors, kModule + ".lora_up.weight"),
                  named(tensors, kModule + ".alpha").item<double>()}
      .delta();
}

TEST(lora_formats, there_and_back_keeps_the_product) {
  for (const double alpha : {1.0, 0.5, 3.0}) {
    const auto diffusers = convert_format(native(alpha), LoraFormat::diffusers, "x");
    EXPECT_EQ(detect_format(diffusers, "x"), LoraFormat::diffusers);
    EXPECT_EQ(diffusers.size(), 6u);
    const auto back = convert_format(diffusers, LoraFormat::kohya, "x");
    EXPECT_EQ(detect_format(back, "x"), LoraFormat::kohya);
    EXPECT_TRUE(delta(back).allclose(delta(native(alpha)), 1e-6, 1e-6));
    EXPECT_TRUE(named(back, kModule + ".lora_down.weight").equal(native(alpha)[1].second));
  }
}

TEST(lora_formats, peft_files_get_their_strength_from_the_configuration) {
  const test::TempFolder folder;
  io::NamedTensors raw;
  for (auto& [name, tensor] : convert_format(native(2), LoraFormat::diffusers, "x")) {
    raw.emplace_back("base_model.model." + name.substr(std::string("transformer.").size()), tensor);
  }
  const auto path = folder / "adapter_model.safetensors";
  EXPECT_EQ(detect_format(raw, path), LoraFormat::peft);
  const auto without = convert_format(raw, LoraFormat::kohya, path);
  EXPECT_TRUE(delta(without).allclose(delta(native(2)), 1e-6, 1e-6));
  write_file(folder / "adapter_config.json", R"({"r": 2, "lora_alpha": 8})");
  EXPECT_TRUE(delta(convert_format(raw, LoraFormat::kohya, path)).allclose(4 * delta(native(2)), 1e-5, 1e-5));
  write_file(folder / "adapter_config.json", R"({"r": 2, "lora_alpha": 8, "use_rslora": true})");
  const auto stabilised = delta(convert_format(raw, LoraFormat::kohya, path));
  EXPECT_TRUE(stabilised.allclose(8 / std::sqrt(2.0) * delta(native(2)), 1e-5, 1e-5));
  for (const char* wrong :
       {R"({"r": "two", "lora_alpha": 8})", R"({"r": 2})", "[]", "{",
        R"({"r": 2, "lora_alpha": 8, "alpha_pattern": [1]})", R"({"r": 2, "lora_alpha": 8, "alpha_pattern": {"(": 1}})",
        R"({"r": 2, "lora_alpha": 8, "init_lora_weights": "pissa_niter_4"})"}) {
    write_file(folder / "adapter_config.json", wrong);
    EXPECT_NE(test::refusal([&] { convert_format(raw, LoraFormat::kohya, path); }).find("adapter_config.json"),
              std::string::npos)
        << wrong;
  }
}

/// q, k and v of one layer with ranks of their own, and their products with these strengths, one below the other.
struct Parts {
  io::NamedTensors tensors;
  std::vector<at::Tensor> products;
  at::Tensor whole(std::vector<double> strengths) const {
    std::vector<at::Tensor> scaled;
    for (size_t i = 0; i < 3; ++i) scaled.push_back(products[i] * strengths[i]);
    return at::cat(scaled);
  }
};

Parts separate_parts(const std::string& prefix, std::vector<int64_t> ranks) {
  at::manual_seed(3);
  Parts parts;
  const char* names[] = {"to_q", "to_k", "to_v"};
  for (size_t i = 0; i < 3; ++i) {
    const auto a = at::randn({ranks[i], 8}), b = at::randn({8, ranks[i]});
    const std::string layer = prefix + "transformer_blocks.0.attn." + names[i];
    parts.tensors.emplace_back(layer + ".lora_A.weight", a);
    parts.tensors.emplace_back(layer + ".lora_B.weight", b);
    parts.products.push_back(b.mm(a));
  }
  return parts;
}

TEST(lora_formats, patterns_of_peft_act_on_the_layers_that_they_match) {
  const test::TempFolder folder;
  const auto path = folder / "adapter_model.safetensors";
  const auto parts = separate_parts("base_model.model.", {2, 4, 2});
  io::write_safetensors(path, parts.tensors);
  struct Case {
    const char* config;
    std::vector<double> strengths;
  };
  // to_q_ and o_q end no name after a dot; the first pattern that matches counts.
  const Case cases[] = {
      {R"({"r": 2, "lora_alpha": 8, "rank_pattern": {"to_k": 4}})", {4, 2, 4}},
      {R"({"r": 2, "lora_alpha": 8, "rank_pattern": {"to_k": 4}, "alpha_pattern": {"to_q": 2, "o_v": 99}})", {1, 2, 4}},
      {R"({"r": 2, "lora_alpha": 8, "rank_pattern": {"to_k": 4}, "alpha_pattern": {"attn\\.to_[qk]": 2, "to_q": 99}})",
       {1, 0.5, 4}},
      {R"({"r": 2, "lora_alpha": 8, "use_rslora": true, "rank_pattern": {"to_k": 4}, "alpha_pattern": null})",
       {8 / std::sqrt(2), 4, 8 / std::sqrt(2)}},
  };
  for (const auto& [config, strengths] : cases) {
    SCOPED_TRACE(config);
    write_file(folder / "adapter_config.json", config);
    const auto want = parts.whole(strengths);
    EXPECT_TRUE(delta(convert_format(parts.tensors, LoraFormat::kohya, path)).allclose(want, 1e-5, 1e-5));
    EXPECT_TRUE(read_lora_file(path).modules.at(kModule).delta().allclose(want, 1e-5, 1e-5));
    EXPECT_NEAR(lora_report(path)["parts"][0]["kinds"][0]["norm_mean"].get<double>(), want.norm().item<double>(), 1e-3);
  }
}

TEST(lora_formats, diffusers_files_may_say_their_strength) {
  auto parts = separate_parts("transformer.", {2, 2, 2});
  const io::Metadata metadata{{"lora_adapter_metadata",
                               R"({"transformer.r": 2, "transformer.lora_alpha": 6,
                                   "transformer.alpha_pattern": {"to_v": 4}, "text_encoder.r": 1,
                                   "text_encoder.lora_alpha": 100})"}};
  EXPECT_TRUE(
      delta(convert_format(parts.tensors, LoraFormat::kohya, "x")).allclose(parts.whole({1, 1, 1}), 1e-5, 1e-5));
  EXPECT_TRUE(delta(convert_format(parts.tensors, LoraFormat::kohya, "x", metadata))
                  .allclose(parts.whole({3, 3, 2}), 1e-5, 1e-5));
  parts.tensors.emplace_back("transformer.transformer_blocks.0.attn.to_k.alpha", at::scalar_tensor(0.5));
  const auto got = delta(convert_format(parts.tensors, LoraFormat::kohya, "x", metadata));
  EXPECT_TRUE(got.allclose(parts.whole({3, 0.25, 2}), 1e-5, 1e-5));
}

TEST(lora_formats, what_a_layer_has_beside_its_pair_is_refused) {
  const test::TempFolder folder;
  const std::string layer = "transformer_blocks.0.attn.to_q";
  for (const std::string prefix : {"transformer.", "base_model.model."}) {
    for (const auto& [rest, reason] : {std::pair{".lora_magnitude_vector", "DoRA"},
                                       {".lora_B.bias", "bias"},
                                       {".base_layer.bias", "bias"},
                                       {".lora_mid.weight", "Tucker"}}) {
      auto tensors = separate_parts(prefix, {2, 2, 2}).tensors;
      tensors.emplace_back(prefix + layer + rest, at::ones({8}));
      io::write_safetensors(folder / "x", tensors);
      for (const auto& text : {test::refusal([&] { convert_format(tensors, LoraFormat::kohya, folder / "x"); }),
                               test::refusal([&] { read_lora_file(folder / "x"); })}) {
        EXPECT_NE(text.find(reason), std::string::npos) << prefix << rest << ": " << text;
        EXPECT_NE(text.find(layer + rest), std::string::npos) << text;
      }
    }
  }
}

TEST(lora_formats, a_pair_without_alpha_has_that_of_its_rank) {
  auto tensors = native(2);
  tensors.erase(tensors.begin());
  const auto back = convert_format(convert_format(tensors, LoraFormat::diffusers, "x"), LoraFormat::kohya, "x");
  EXPECT_TRUE(delta(back).allclose(delta(native(2)), 1e-6, 1e-6));
  tensors.back().second = at::zeros({24, 3});
  EXPECT_NE(test::refusal([&] { convert_format(tensors, LoraFormat::diffusers, "x"); }).find("equal ranks"),
            std::string::npos);
}

TEST(lora_formats, files_of_other_models_are_refused) {
  EXPECT_THROW(detect_format({{"weight", at::zeros({2})}}, "x"), FileError);
  EXPECT_THROW(convert_format({{"unet.down.0.lora_A.weight", at::zeros({2, 2})}}, LoraFormat::kohya, "x"), FileError);
}

TEST(lora_report, a_file_is_described_and_its_hashes_are_checked) {
  const test::TempFolder folder;
  const auto path = folder / "lora.safetensors";
  write_lora_file(path, native(1), {{"ss_base_model_version", "medium"}});
  auto report = lora_report(path);
  EXPECT_EQ(report["format"], "kohya");
  EXPECT_EQ(report["modules"], 1);
  EXPECT_EQ(report["parameters"], 2 * 8 + 24 * 2);
  const auto& kind = report["parts"][0]["kinds"][0];
  EXPECT_EQ(kind["kind"], "x_block_attn_qkv");
  EXPECT_EQ(kind["ranks"], nlohmann::json({2}));
  EXPECT_NEAR(kind["norm_mean"].get<double>(), delta(native(1)).norm().item<double>(), 1e-4);
  EXPECT_EQ(report["base_model"]["by_metadata"], "medium");
  EXPECT_TRUE(report["base_model"]["by_shape"].empty());
  EXPECT_EQ(report["hashes"]["sshs_model_hash"]["match"], true);
  EXPECT_EQ(report["hashes"]["sshs_legacy_hash"]["match"], true);
  io::write_safetensors(path, native(3), {{"sshs_model_hash", report["hashes"]["sshs_model_hash"]["stored"]}});
  EXPECT_EQ(lora_report(path)["hashes"]["sshs_model_hash"]["match"], false);
}

/// A LoRA with one module of a published model's shape.
nlohmann::ordered_json fits(const std::string& module, int64_t in, int64_t out) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "x", {{module + ".alpha", at::scalar_tensor(1.0)},
                                       {module + ".lora_down.weight", at::zeros({1, in})},
                                       {module + ".lora_up.weight", at::zeros({out, 1})}});
  return lora_report(folder / "x")["base_model"]["by_shape"];
}

TEST(lora_report, the_base_model_is_told_by_shapes) {
  using Names = std::vector<std::string>;
  const std::string block = "lora_unet_joint_blocks_3_x_block_";
  EXPECT_EQ(fits(block + "attn_qkv", 1536, 4608), Names({"SD3 Medium", "SD3.5 Medium"}));
  EXPECT_EQ(fits(block + "attn2_qkv", 1536, 4608), Names({"SD3.5 Medium"}));
  EXPECT_EQ(fits(block + "adaLN_modulation_1", 1536, 9216), Names({"SD3 Medium"}));
  EXPECT_EQ(fits(block + "adaLN_modulation_1", 1536, 13824), Names({"SD3.5 Medium"}));
  EXPECT_EQ(fits(block + "mlp_fc2", 9728, 2432), Names({"SD3.5 Large"}));
  EXPECT_EQ(fits("lora_unet_joint_blocks_30_x_block_attn_qkv", 2432, 7296), Names({"SD3.5 Large"}));
  EXPECT_TRUE(fits(block + "attn_qkv", 256, 768).empty());
}

TEST(GoldenLoraFile, hashes_of_the_references_files_are_found_right) {
  const auto paths = test::golden_files("train", "lora_", ".safetensors");
  if (paths.empty()) GTEST_SKIP() << "no lora_*.safetensors in " << test::golden_folder();
  for (const auto& path : paths) {
    test::mark_golden_read(path);
    const auto report = lora_report(path);
    EXPECT_EQ(report["hashes"]["sshs_model_hash"]["match"], true) << path;
    EXPECT_EQ(report["hashes"]["sshs_legacy_hash"]["match"], true) << path;
  }
}

}  // namespace
}  // namespace loraptor::network
