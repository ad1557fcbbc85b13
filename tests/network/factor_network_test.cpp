// LoHa, LoKr and DoRA: formulas, gradients, files, merging.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "network/by_name.h"
#include "network/factor_file.h"
#include "network/factor_network.h"
#include "network/lora_file.h"
#include "network/network_merge.h"
#include "support/golden.h"
#include "support/gradient_check.h"
#include "support/refusal.h"
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

TEST(FactorNetwork, TellsInOneLineWhatOfAFileHasNoPlace) {
  NetworkConfig config;
  config.network_dim = 2;
  config.network_args = {"algo=loha"};
  const auto network_of = [&](test::SyntheticModel& model, std::vector<int> blocks) {
    for (const int block : blocks) {
      model.add_weight(TargetModel::mmdit, fmt::format("joint_blocks.{}.x_block.attn.qkv", block), at::randn({24, 12}));
    }
    return create_network(config, model.targets(), {});
  };
  test::SyntheticModel few, many;
  const auto small = network_of(few, {0, 1, 2}), large = network_of(many, {2, 3, 4, 5});
  auto tensors = small->state(at::kFloat);
  tensors.emplace_back("something.else", at::ones({2}));
  const test::TempFolder folder;
  write_lora_file(folder / "n.safetensors", tensors, {});
  testing::internal::CaptureStderr();
  large->load(folder / "n.safetensors");
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("not in this network, left out: 3 (something.else, lora_unet_joint_blocks_0"), std::string::npos)
      << log;
  EXPECT_NE(log.find("not in the file, start afresh: 3 (lora_unet_joint_blocks_3"), std::string::npos) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 3) << log;
}

TEST(FactorNetwork, AnAlphaThatFloat32CannotHoldStaysExact) {
  const test::TempFolder folder;
  for (const double alpha : {0.9, 1.7}) {
    NetworkConfig config;
    config.network_dim = 2;
    config.network_alpha = alpha;
    config.network_args = {"algo=loha"};
    test::SyntheticModel model;
    model.add_weight(TargetModel::mmdit, test::kQkvPath, at::randn({24, 12}));
    const auto network = create_network(config, model.targets(), {});
    write_lora_file(folder / "n.safetensors", network->state(at::kFloat), {});
    network->load(folder / "n.safetensors");
    EXPECT_EQ(by_name(network->state(at::kDouble)).at(kQkvName + std::string(".alpha")).item<double>(), alpha);
  }
  Fixture other({"algo=loha"});  // alpha 3: the file's is another
  other.network->load(folder / "n.safetensors");
  EXPECT_FLOAT_EQ(by_name(other.network->state(at::kFloat)).at(kQkvName + std::string(".alpha")).item<float>(), 1.7F);
}

TEST(FormatFactorFile, FactorsThatDoNotFitTogetherAreRefused) {
  using Shapes = std::map<std::string, std::vector<int64_t>>;
  const test::TempFolder folder;
  const std::string name = "lora_unet_joint_blocks_0_x_block_attn_proj";
  const auto refusal = [&](const Shapes& shapes, double alpha = 1) {
    io::NamedTensors tensors{{name + ".alpha", at::scalar_tensor(alpha)}};
    for (const auto& [key, shape] : shapes) tensors.emplace_back(name + "." + key, at::ones(shape));
    io::write_safetensors(folder / "x", tensors);
    return test::refusal([&] { read_factor_file(folder / "x"); });
  };
  const Shapes loha{{"hada_w1_a", {6, 2}}, {"hada_w1_b", {2, 4}}, {"hada_w2_a", {6, 2}}, {"hada_w2_b", {2, 4}}};
  const Shapes lokr{{"lokr_w1", {2, 2}}, {"lokr_w2", {3, 2}}};
  const Shapes dora{{"lora_down.weight", {2, 4}}, {"lora_up.weight", {6, 2}}, {"dora_scale", {6, 1}}};
  for (const auto& good : {loha, lokr, dora}) EXPECT_EQ(refusal(good), "");
  const auto with = [](Shapes shapes, const std::string& key, std::vector<int64_t> shape) {
    shapes[key] = std::move(shape);
    return shapes;
  };
  EXPECT_EQ(refusal(with(lokr, "lokr_w2", {3, 2, 1, 1})), "");  // a kernel of one point
  EXPECT_EQ(refusal(with(dora, "dora_scale", {1, 4})), "");
  for (const auto& bad :
       {with(loha, "hada_w1_b", {3, 4}), with(loha, "hada_w2_a", {5, 2}), with(loha, "hada_w2_b", {2, 5}),
        with(dora, "lora_up.weight", {6, 3}), with(dora, "dora_scale", {7, 1}), with(dora, "dora_scale", {6, 4})}) {
    EXPECT_NE(refusal(bad).find("fit together"), std::string::npos);
  }
  for (const auto& bad : {with(lokr, "lokr_w1", {2}), with(loha, "hada_w1_a", {6, 0}), with(dora, "dora_scale", {6})}) {
    EXPECT_NE(refusal(bad).find("expected a matrix"), std::string::npos);
  }
  EXPECT_NE(refusal(loha, NAN).find("finite"), std::string::npos);
  EXPECT_NE(refusal(with(loha, "hada_t1", {2, 2, 1, 1})).find("Tucker"), std::string::npos);
  EXPECT_NE(refusal(with(lokr, "diff_b", {6})).find("bias"), std::string::npos);
}

}  // namespace
}  // namespace loraptor::network
