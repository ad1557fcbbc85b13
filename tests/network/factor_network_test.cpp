// LoHa, LoKr and DoRA: formulas, gradients, files, merging.
#include <gtest/gtest.h>

#include "base/error.h"
#include "network/factor_file.h"
#include "network/factor_network.h"
#include "network/lora_file.h"
#include "network/network_merge.h"
#include "support/golden.h"
#include "support/gradient_check.h"
#include "support/temp_folder.h"
#include "synthetic_targets.h"

namespace loraptor::network {
namespace {

using test::kQkvName;
using test::kQkvPath;

at::Tensor values(const std::string& key, at::IntArrayRef shape) {
  return test::unit_values(key, c10::multiply_integers(shape)).view(shape).to(at::kFloat);
}

/// One layer [24,12] with a network on it whose factors all have values.
struct Fixture {
  explicit Fixture(std::vector<std::string> args) {
    model.add_weight(TargetModel::mmdit, kQkvPath, values("weight", {24, 12}));
    config.network_module = "lycoris.kohya";
    config.network_dim = 2;
    config.network_alpha = 3;
    config.network_args = std::move(args);
    network = create_network(config, model.targets(), {.seed = 5});
  }
  void fill() {
    const at::NoGradGuard no_grad;
    for (auto& p : network->parameters()) {
      const bool is_scale = p.name.ends_with("dora_scale");
      p.value.copy_(is_scale ? p.value * (1 + 0.3 * values(p.name, p.value.sizes())) : values(p.name, p.value.sizes()));
    }
  }
  nn::Linear& layer() { return model.layer(kQkvPath); }
  at::Tensor factor(const std::string& key) const {
    for (const auto& [name, tensor] : network->state(at::kFloat)) {
      if (name == kQkvName + "." + key) return tensor;
    }
    throw std::runtime_error("no tensor " + key);
  }

  test::SyntheticModel model;
  NetworkConfig config;
  std::unique_ptr<Network> network;
};

std::vector<std::vector<std::string>> kinds() {
  return {{"algo=loha"},
          {"algo=lokr"},
          {"algo=lokr", "factor=2"},
          {"algo=lokr", "full_matrix=True"},
          {"algo=lokr", "factor=4", "decompose_both=True", "unbalanced_factorization=True"},
          {"dora_wd=True"},
          {"dora_wd=True", "wd_on_output=False"},
          {"algo=loha", "dora_wd=True"},
          {"algo=lokr", "dora_wd=True", "factor=2"}};
}

class Kind : public ::testing::TestWithParam<std::vector<std::string>> {};
INSTANTIATE_TEST_SUITE_P(Every, Kind, ::testing::ValuesIn(kinds()));

TEST_P(Kind, LeavesTheLayerUnchangedAtFirst) {
  Fixture f(GetParam());
  const auto x = values("x", {5, 12});
  EXPECT_TRUE(at::allclose(f.layer().forward(x), at::linear(x, f.layer().weight().read()), 1e-5, 1e-6));
}

TEST_P(Kind, IsMergedExactly) {
  Fixture f(GetParam());
  f.fill();
  const auto x = values("x", {2, 5, 12});
  const auto attached = f.layer().forward(x).detach();
  const auto plain = at::linear(x, f.layer().weight().read());
  EXPECT_FALSE(at::allclose(attached, plain, 1e-2, 1e-2));
  const test::TempFolder folder;
  write_lora_file(folder.path() / "n.safetensors", f.network->state(at::kFloat), {});
  f.network->merge_into_targets(1);
  EXPECT_TRUE(at::allclose(f.layer().forward(x), attached, 1e-4, 1e-5));

  Fixture other({});  // the file alone does the same, and half of it does less
  other.layer().detach();
  EXPECT_EQ(merge_lora_file(folder.path() / "n.safetensors", 1, other.model.targets()), 1);
  EXPECT_TRUE(at::allclose(other.layer().forward(x), attached, 1e-4, 1e-5));
}

TEST_P(Kind, ComesBackFromItsFile) {
  Fixture f(GetParam()), again(GetParam());
  f.fill();
  const test::TempFolder folder;
  write_lora_file(folder.path() / "n.safetensors", f.network->state(at::kFloat), {});
  again.network->load(folder.path() / "n.safetensors");
  EXPECT_TRUE(at::equal(again.network->flat_values(), f.network->flat_values()));
}

TEST_P(Kind, HasTheGradientsOfItsFormula) {
  Fixture f(GetParam());
  f.fill();
  const auto parameters = f.network->parameters();
  const auto x = values("x", {7, 12});
  auto loss = [&] { return f.layer().forward(x).square().sum(); };
  f.network->flat_gradients().zero_();
  loss().backward();
  const double step = 1e-2;
  for (auto& p : parameters) {
    const double norm = p.value.grad().norm().item<double>();
    ASSERT_GT(norm, 0) << p.name;
    const auto direction = p.value.grad() / norm;
    const at::NoGradGuard no_grad;
    p.value.add_(direction, step);
    const double above = loss().item<double>();
    p.value.add_(direction, -2 * step);
    const double below = loss().item<double>();
    p.value.add_(direction, step);
    EXPECT_NEAR((above - below) / (2 * step), norm, 0.02 * norm) << p.name;
  }
}

TEST_P(Kind, InputsGetTheGradientOfTheMergedWeight) {
  Fixture f(GetParam());
  f.fill();
  auto x = values("x", {7, 12}).requires_grad_();
  f.layer().forward(x).sum().backward();
  const auto got = x.grad();
  f.network->merge_into_targets(1);
  EXPECT_TRUE(at::allclose(got, f.layer().weight().read().sum(0).expand({7, 12}), 1e-4, 1e-4));
}

TEST_P(Kind, NormsAreLimited) {
  Fixture f(GetParam());
  f.fill();
  const auto report = f.network->limit_weight_norms(0.5);
  EXPECT_EQ(report.scaled, 1);
  EXPECT_NEAR(report.max_norm, 0.5, 1e-5);
  EXPECT_NEAR(f.network->limit_weight_norms(0.5).max_norm, 0.5, 1e-3);
}

TEST(LoHa, IsAProductOfTwoLowRankMatrices) {
  Fixture f({"algo=loha"});
  f.fill();
  const auto old = f.layer().weight().read().clone();
  const auto want = f.factor("hada_w1_a").mm(f.factor("hada_w1_b")) * f.factor("hada_w2_a").mm(f.factor("hada_w2_b"));
  f.network->merge_into_targets(1);
  EXPECT_TRUE(at::allclose(f.layer().weight().read() - old, want * 1.5, 1e-4, 1e-5));
}

TEST(LoKr, IsAKroneckerProduct) {
  Fixture f({"algo=lokr", "factor=2"});
  f.fill();
  EXPECT_EQ(f.factor("lokr_w1").sizes(), at::IntArrayRef({2, 2}));
  EXPECT_EQ(f.factor("lokr_w2_a").sizes(), at::IntArrayRef({12, 2}));
  const auto old = f.layer().weight().read().clone();
  const auto w1 = f.factor("lokr_w1"), w2 = f.factor("lokr_w2_a").mm(f.factor("lokr_w2_b"));
  f.network->merge_into_targets(1);
  const auto change = f.layer().weight().read() - old;
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 2; ++j) {
      const auto block = change.slice(0, 12 * i, 12 * i + 12).slice(1, 6 * j, 6 * j + 6);
      EXPECT_TRUE(at::allclose(block, w2 * w1[i][j].item<float>() * 1.5, 1e-4, 1e-5));
    }
  }
}

TEST(LoKr, FactorsAreThoseOfLycoris) {
  EXPECT_EQ(factor_pair(127, -1), std::pair(int64_t{1}, int64_t{127}));
  EXPECT_EQ(factor_pair(250, -1), std::pair(int64_t{10}, int64_t{25}));
  EXPECT_EQ(factor_pair(250, 8), std::pair(int64_t{5}, int64_t{50}));
  EXPECT_EQ(factor_pair(360, 16), std::pair(int64_t{15}, int64_t{24}));
  EXPECT_EQ(factor_pair(360, 4), std::pair(int64_t{4}, int64_t{90}));
  EXPECT_EQ(factor_pair(1024, 16), std::pair(int64_t{16}, int64_t{64}));
  EXPECT_EQ(factor_pair(512, -1), std::pair(int64_t{16}, int64_t{32}));
}

TEST(DoRA, RowsHaveTheTrainedLengths) {
  Fixture f({"dora_wd=True"});
  f.fill();
  const auto lengths = f.factor("dora_scale");
  const auto corrected = f.layer().weight().read() + f.factor("lora_up.weight").mm(f.factor("lora_down.weight")) * 1.5;
  f.network->merge_into_targets(1);
  const auto got = f.layer().weight().read();
  EXPECT_TRUE(at::allclose(got.norm(2, {1}, true), lengths, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(got / lengths, corrected / corrected.norm(2, {1}, true), 1e-4, 1e-5));
}

TEST(FactorNetwork, SettingsOfPlainLoraAreRefused) {
  EXPECT_THROW(Fixture({"algo=loha", "split_qkv=True"}), UsageError);
  EXPECT_THROW(Fixture({"algo=loha", "loraplus_lr_ratio=4"}), UsageError);
  EXPECT_THROW(Fixture({"algo=boft"}), UsageError);
  EXPECT_THROW(Fixture({"algo=lokr", "use_tucker=True"}), UsageError);
}

TEST(FactorNetwork, AFileOfAnotherKindIsRefused) {
  Fixture loha({"algo=loha"}), lokr({"algo=lokr"});
  const test::TempFolder folder;
  write_lora_file(folder.path() / "n.safetensors", loha.network->state(at::kFloat), {});
  EXPECT_THROW(lokr.network->load(folder.path() / "n.safetensors"), FileError);
  auto tensors = loha.network->state(at::kFloat);
  tensors.pop_back();
  write_lora_file(folder.path() / "half.safetensors", tensors, {});
  EXPECT_THROW(read_factor_file(folder.path() / "half.safetensors"), FileError);
}

}  // namespace
}  // namespace loraptor::network
