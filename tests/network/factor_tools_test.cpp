// LoHa, LoKr and DoRA in the commands: as plain pairs, attached for inference, resized, told about.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "network/applied_lora.h"
#include "network/lora_report.h"
#include "network/lora_resize.h"
#include "network/low_rank.h"
#include "network/network_merge.h"
#include "relative_error.h"
#include "support/refusal.h"
#include "support/temp_folder.h"
#include "synthetic_targets.h"

namespace loraptor::network {
namespace {

using test::kQkvName;
using test::kQkvPath;

constexpr int64_t kOut = 24, kIn = 12, kRank = 2;

struct Shape {
  const char* name;
  AlgoArgs args;
};

std::vector<Shape> shapes() {
  return {{"lora", {}},
          {"loha", {.algo = Algo::loha}},
          {"lokr", {.algo = Algo::lokr}},
          {"lokr_full", {.algo = Algo::lokr, .factor = 4, .full_matrix = true}},
          {"lokr_both", {.algo = Algo::lokr, .factor = 4, .decompose_both = true, .unbalanced_factorization = true}}};
}

/// A module with random factors; `dora` is "", "rows" or "columns".
FactorSet random_set(const AlgoArgs& args, const std::string& dora = "") {
  FactorSet set;
  for (const auto& spec : factor_specs(args, kOut, kIn, kRank)) set.factors[spec.key] = at::randn(spec.shape);
  set.alpha = 3;
  if (dora == "rows") set.dora_scale = at::rand({kOut, 1}) + 0.5;
  if (dora == "columns") set.dora_scale = at::rand({1, kIn}) + 0.5;
  return set;
}

WeightedLora file_of(FactorSet set, double ratio) {
  WeightedLora lora;
  lora.file.path = "file.safetensors";
  lora.ratio = ratio;
  lora.factors[kQkvName] = std::move(set);
  return lora;
}

at::Tensor delta_of(const FactorSet& set) { return delta_weight(set.factors) * set.strength(); }

TEST(FactorTools, plain_pairs_have_exactly_the_same_product) {
  at::manual_seed(1);
  const std::map<std::string, int64_t> ranks{{"lora", 2}, {"loha", 4}};
  for (const auto& [name, args] : shapes()) {
    const auto set = random_set(args);
    EXPECT_EQ(layer_shape(set.factors), std::pair(kOut, kIn)) << name;
    const auto pair = exact_pair(set, kQkvName, "file");
    EXPECT_LT(relative(pair.delta(), delta_of(set)), 1e-5) << name;
    EXPECT_NEAR(delta_norm(set.factors) * set.strength(), pair.delta().norm().item<double>(), 1e-4) << name;
    if (ranks.count(name) != 0) {
      EXPECT_EQ(pair.rank(), ranks.at(name));
    }
    EXPECT_LE(pair.rank(), kIn) << name;
  }
  EXPECT_THROW(exact_pair(random_set({}, "rows"), kQkvName, "file"), FileError);
}

TEST(FactorTools, files_of_any_kinds_become_one_plain_lora) {
  at::manual_seed(2);
  const auto a = random_set({.algo = Algo::loha}), b = random_set({.algo = Algo::lokr});
  const auto both = concat_loras({file_of(a, 0.7), file_of(b, -0.5)});
  EXPECT_LT(relative(both.at(kQkvName).delta(), 0.7 * delta_of(a) - 0.5 * delta_of(b)), 1e-5);
}

TEST(FactorTools, resizing_gives_the_nearest_plain_pair) {
  at::manual_seed(3);
  const auto set = random_set({.algo = Algo::loha});
  const auto small = resize_modules(file_of(set, 1), {.new_rank = 2}, {});
  const auto best = leading_svd(delta_of(set), 2, SvdMethod::exact);
  EXPECT_EQ(small.at(kQkvName).rank(), 2);
  EXPECT_LT(relative(small.at(kQkvName).delta(), (best.u * best.s).mm(best.vh).to(at::kFloat)), 1e-4);
}

/// Attached files against the same files merged one after the other by network_merge.
void expect_attached_equals_merged(const std::vector<WeightedLora>& loras) {
  const auto weight = at::randn({kOut, kIn}), x = at::randn({3, 5, kIn});
  test::SyntheticModel attached, merged;
  attached.add_weight(TargetModel::mmdit, kQkvPath, weight);
  merged.add_weight(TargetModel::mmdit, kQkvPath, weight);
  EXPECT_EQ(attach_loras(loras, attached.targets()), std::set<std::string>{kQkvName});
  for (const auto& lora : loras) {
    auto& storage = merged.layer(kQkvPath).weight();
    if (lora.factors.empty()) {
      storage.add(lora.file.modules.at(kQkvName).delta() * lora.ratio);
    } else {
      const auto& set = lora.factors.at(kQkvName);
      storage.add(weight_change(set.factors, set.strength(), set.dora_scale, storage.read(), lora.ratio));
    }
  }
  const auto want = merged.layer(kQkvPath).forward(x);
  EXPECT_LT(relative(attached.layer(kQkvPath).forward(x), want), 1e-5);
  EXPECT_GT(relative(want, at::linear(x, weight)), 0.05);
}

TEST(FactorTools, attached_modules_act_like_merged_ones) {
  at::manual_seed(4);
  for (const auto& [name, args] : shapes()) {
    for (const char* dora : {"", "rows", "columns"}) {
      SCOPED_TRACE(std::string(name) + " " + dora);
      expect_attached_equals_merged({file_of(random_set(args, dora), 0.6)});
    }
  }
}

TEST(FactorTools, several_files_act_one_after_the_other) {
  at::manual_seed(5);
  WeightedLora plain;
  plain.file.path = "plain.safetensors";
  plain.ratio = -0.4;
  plain.file.modules[kQkvName] = {at::randn({3, kIn}), at::randn({kOut, 3}), 2};
  const auto rows = file_of(random_set({}, "rows"), 0.8),
             columns = file_of(random_set({.algo = Algo::loha}, "columns"), 1.2);
  expect_attached_equals_merged({plain, rows, columns});
  expect_attached_equals_merged({columns, plain, file_of(random_set({.algo = Algo::lokr}), 0.5), rows});
}

TEST(FactorTools, a_module_for_another_layer_is_refused) {
  test::SyntheticModel model;
  model.add_weight(TargetModel::mmdit, kQkvPath, at::randn({kOut, kIn + 1}));
  EXPECT_THROW(attach_loras({file_of(random_set({}), 1)}, model.targets()), FileError);
}

TEST(FactorTools, ratios_must_be_finite) {
  for (const double ratio : {std::nan(""), HUGE_VAL, 1e40}) {
    EXPECT_THROW(read_weighted_loras({"x"}, {ratio}), UsageError);
  }
}

TEST(FactorTools, values_must_be_finite) {
  const test::TempFolder folder;
  const std::string path = folder / "x", other = "lora_unet_joint_blocks_1_x_block_attn_qkv";
  for (const char* key : {".lora_down.weight", ".lora_up.weight", ".dora_scale"}) {
    io::NamedTensors tensors{{other + ".lora_down.weight", at::ones({1, 8})},
                             {other + ".lora_up.weight", at::ones({8, 1})},
                             {kQkvName + std::string(".lora_down.weight"), at::ones({1, 8})},
                             {kQkvName + std::string(".lora_up.weight"), at::ones({8, 1})}};
    if (std::string(key) == ".dora_scale") tensors.emplace_back(kQkvName + std::string(key), at::ones({8, 1}));
    io::write_safetensors(path, tensors);
    EXPECT_EQ(read_weighted_loras({path}, {}).size(), 1u);
    for (auto& [name, values] : tensors) {
      if (name == kQkvName + std::string(key)) values[0][0] = NAN;
    }
    io::write_safetensors(path, tensors);
    const auto text = test::refusal([&] { read_weighted_loras({path}, {}); });
    EXPECT_NE(text.find(kQkvName + std::string(": got NaN")), std::string::npos) << text;
  }
}

TEST(FactorTools, the_report_names_algorithms_and_norms) {
  at::manual_seed(6);
  const test::TempFolder folder;
  const auto loha = random_set({.algo = Algo::loha}), dora = random_set({.algo = Algo::lokr}, "rows");
  io::NamedTensors tensors;
  const auto add = [&](const std::string& name, const FactorSet& set) {
    for (const auto& [key, value] : set.factors) tensors.emplace_back(name + "." + key, value);
    if (set.is_dora()) tensors.emplace_back(name + ".dora_scale", set.dora_scale);
    tensors.emplace_back(name + ".alpha", at::scalar_tensor(3.0));
  };
  add(kQkvName, loha);
  add("lora_unet_joint_blocks_1_x_block_attn_qkv", dora);
  write_lora_file(folder / "file", tensors, {});
  const auto report = lora_report(folder / "file");
  EXPECT_EQ(report["algorithms"].dump(), R"({"loha":1,"lokr + dora":1})");
  const auto& kind = report["parts"][0]["kinds"][0];
  EXPECT_EQ(kind["shapes"].dump(), R"(["12 -> 24"])");
  const double norms[] = {delta_of(loha).norm().item<double>(), delta_of(dora).norm().item<double>()};
  EXPECT_NEAR(kind["norm_mean"].get<double>(), (norms[0] + norms[1]) / 2, 1e-3);
  EXPECT_NEAR(kind["norm_max"].get<double>(), std::max(norms[0], norms[1]), 1e-3);
}

}  // namespace
}  // namespace loraptor::network
