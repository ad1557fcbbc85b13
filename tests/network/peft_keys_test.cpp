// The converter between native and PEFT names against recorded pairs and the recorded table.
#include "network/peft_keys.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "network/by_name.h"
#include "network/lora_file.h"
#include "support/golden.h"

namespace loraptor::network {
namespace {

using test::GoldenFile;

/// The tensors under `prefix`, without it.
io::NamedTensors under(const GoldenFile& file, const std::string& prefix) {
  io::NamedTensors tensors;
  for (const auto& name : file.names_starting(prefix)) tensors.emplace_back(name.substr(prefix.size()), file[name]);
  return tensors;
}

/// The strength folded into lora_B beyond alpha / rank, from one unambiguous module.
double recorded_multiplier(const Tensors& native, const Tensors& peft) {
  for (const auto& [name, up] : native) {
    const std::string suffix = "_x_block_attn_proj.lora_up.weight";
    if (!name.ends_with(suffix)) continue;
    const std::string stem = name.substr(0, name.size() - std::string(".lora_up.weight").size());
    const double scale = native.at(stem + ".alpha").item<double>() / static_cast<double>(up.size(1));
    for (const auto& [peft_name, b] : peft) {
      if (!peft_name.ends_with(".attn.to_out.0.lora_B.weight")) continue;
      return std::round(1e6 * (b.norm() / up.norm()).item<double>() / scale) / 1e6;
    }
  }
  return 1;
}

/// Both directions. The way back loses alpha: what stays is the product.
void check_file(const std::filesystem::path& path) {
  GoldenFile file(path);
  const auto native = under(file, "kohya."), peft = under(file, "peft.");
  const auto want = by_name(peft);
  const Tensors got = by_name(to_peft(native, recorded_multiplier(by_name(native), want), path));
  for (const auto& [name, tensor] : got) {
    ASSERT_EQ(want.count(name), 1u) << name;
    file.expect_close("peft." + name, tensor, test::tolerance("merged"));
  }

  EXPECT_TRUE(has_peft_names(peft));
  EXPECT_FALSE(has_peft_names(native));
  const double multiplier = recorded_multiplier(by_name(native), want);
  const Tensors back = by_name(from_peft(peft, path)), original = by_name(native);
  for (const auto& [name, down] : original) {
    const std::string suffix = ".lora_down.weight";
    if (!name.ends_with(suffix)) continue;
    const std::string module = name.substr(0, name.size() - suffix.size());
    if (back.count(name) == 0) continue;  // some modules are recorded in one form only
    const LoraPair a{down, original.at(module + ".lora_up.weight"), original.at(module + ".alpha").item<double>()};
    const LoraPair b{back.at(name), back.at(module + ".lora_up.weight"), back.at(module + ".alpha").item<double>()};
    if (b.up.size(0) != a.up.size(0)) continue;
    file.expect_close(module + " product", b.delta(), a.delta() * multiplier, test::tolerance("merged"));
  }
}

TEST(GoldenPeft, recorded_modules_convert_both_ways) {
  const auto paths = test::golden_files("models", "lora_convert_", ".safetensors");
  if (paths.empty()) GTEST_SKIP() << "no lora_convert_*.safetensors in " << test::golden_folder();
  for (const auto& path : paths) check_file(path);
}

/// One module with a made-up pair of the right proportions.
io::NamedTensors one_module(const std::string& module, int64_t row_factor) {
  at::manual_seed(1);
  return {{module + ".alpha", at::scalar_tensor(2.0)},
          {module + ".lora_down.weight", at::randn({2, 8})},
          {module + ".lora_up.weight", at::randn({row_factor * 8, 2})}};
}

std::string with_number(std::string text, const std::string& mark, const std::string& number) {
  if (const size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), number);
  return text;
}

TEST(GoldenPeft, the_recorded_table_holds_for_every_module) {
  const auto paths = test::golden_files("models", "checkpoint_variants", ".json");
  if (paths.empty()) GTEST_SKIP() << "no checkpoint_variants.json in " << test::golden_folder();
  const auto table = test::read_golden_json(paths[0])["lora_to_peft"];
  for (const auto& row : table["rows"]) {
    const std::string module = "lora_unet_" + with_number(row[0].get<std::string>(), "{i}", "7");
    const auto names = row[1].get<std::vector<std::string>>();
    const std::string rule = row[2].get<std::string>();
    SCOPED_TRACE(module);
    for (const int64_t factor : {6, 2}) {  // rows of lora_up in widths: an inner block, and the last one's context side
      const auto native = one_module(module, rule == "qkv" ? 3 : factor);
      const Tensors got = by_name(to_peft(native, 1, "x"));
      ASSERT_EQ(got.size(), 2 * names.size());
      auto up = native[2].second;
      const bool swap = rule == "swap" || (rule == "same_but_swap_in_last_block" && factor == 2);
      if (swap) up = at::roll(up, up.size(0) / 2, 0);
      const auto parts = up.chunk(static_cast<int64_t>(names.size()), 0);
      for (size_t i = 0; i < names.size(); ++i) {
        const std::string name = "transformer." + with_number(names[i], "{i}", "7");
        ASSERT_EQ(got.count(name + ".lora_A.weight"), 1u) << name;
        EXPECT_TRUE(got.at(name + ".lora_A.weight").equal(native[1].second));
        EXPECT_TRUE(got.at(name + ".lora_B.weight").equal(parts[i]));
      }
      io::NamedTensors list(got.begin(), got.end());
      const Tensors back = by_name(from_peft(list, "x"));
      EXPECT_TRUE(back.at(module + ".lora_down.weight").equal(native[1].second));
      EXPECT_TRUE(back.at(module + ".lora_up.weight").equal(native[2].second));
      EXPECT_EQ(back.at(module + ".alpha").item<double>(), 2);
    }
  }
}

TEST(peft_keys, encoders_keep_their_paths) {
  const auto got = by_name(to_peft(one_module("lora_te2_text_model_encoder_layers_11_self_attn_out_proj", 1), 1, "x"));
  EXPECT_EQ(got.begin()->first, "text_encoder_2.text_model.encoder.layers.11.self_attn.out_proj.lora_A.weight");
  const auto t5 = by_name(to_peft(one_module("lora_te3_encoder_block_3_layer_1_DenseReluDense_wi_1", 1), 1, "x"));
  EXPECT_EQ(t5.begin()->first, "text_encoder_3.encoder.block.3.layer.1.DenseReluDense.wi_1.lora_A.weight");
}

TEST(peft_keys, different_q_k_and_v_become_one_block_diagonal_pair) {
  at::manual_seed(2);
  io::NamedTensors peft;
  std::vector<at::Tensor> products;
  for (const std::string part : {"to_q", "to_k", "to_v"}) {
    const auto a = at::randn({2, 8}), b = at::randn({8, 2});
    if (part != "to_k") {  // as if only q and v were trained
      peft.emplace_back("transformer.transformer_blocks.0.attn." + part + ".lora_A.weight", a);
      peft.emplace_back("transformer.transformer_blocks.0.attn." + part + ".lora_B.weight", b);
    }
    products.push_back(part == "to_k" ? at::zeros({8, 8}) : b.mm(a));
  }
  const auto back = by_name(from_peft(peft, "x"));
  const std::string module = "lora_unet_joint_blocks_0_x_block_attn_qkv";
  const LoraPair pair{back.at(module + ".lora_down.weight"), back.at(module + ".lora_up.weight"),
                      back.at(module + ".alpha").item<double>()};
  EXPECT_EQ(pair.rank(), 4);
  EXPECT_TRUE(pair.delta().allclose(at::cat(products, 0), 1e-5, 1e-6));
}

TEST(peft_keys, half_pairs_and_foreign_modules_are_refused) {
  EXPECT_THROW(from_peft({{"transformer.proj_out.lora_A.weight", at::zeros({2, 8})}}, "x"), FileError);
  EXPECT_THROW(to_peft(one_module("lora_unet_single_blocks_0_linear1", 1), 1, "x"), FileError);
}

}  // namespace
}  // namespace loraptor::network
