// The network as a whole: buffers, groups, saving and loading, merging, dropouts, weight norms.
#include "network/lora_network.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "network/by_name.h"
#include "network/network_merge.h"
#include "support/temp_folder.h"
#include "synthetic_targets.h"

namespace loraptor::network {
namespace {

using test::SyntheticModel;

constexpr int64_t kWidth = 16;

/// Three blocks with real weights, a convolution, a CLIP layer.
SyntheticModel make_model() {
  at::manual_seed(3);
  SyntheticModel model;
  const auto add = [&](TargetModel which, const std::string& path, int64_t in, int64_t out) {
    model.add_weight(which, path, at::randn({out, in}) / 4);
  };
  model.add_weight(TargetModel::mmdit, "x_embedder.proj", at::randn({kWidth, 4, 2, 2}) / 4);
  for (int i = 0; i < 2; ++i) {
    add(TargetModel::mmdit, fmt::format("joint_blocks.{}.x_block.attn.qkv", i), kWidth, 3 * kWidth);
    add(TargetModel::mmdit, fmt::format("joint_blocks.{}.x_block.attn.proj", i), kWidth, kWidth);
  }
  add(TargetModel::clip_l, "text_model.encoder.layers.0.mlp.fc1", 8, 32);
  return model;
}

std::unique_ptr<LoraNetwork> make_network(const SyntheticModel& model, std::vector<std::string> items = {},
                                          NetworkConfig config = {}, NetworkSetup setup = {}) {
  config.network_args = std::move(items);
  auto network = create_network(config, model.targets(), setup);
  return std::unique_ptr<LoraNetwork>(static_cast<LoraNetwork*>(network.release()));
}

void randomize(const Network& network) {
  at::manual_seed(5);
  const at::NoGradGuard no_grad;
  network.flat_values().copy_(at::randn_like(network.flat_values()) / 4);
}

at::Tensor qkv_output(const SyntheticModel& model, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  return model.layer("joint_blocks.0.x_block.attn.qkv").forward(x);
}

TEST(lora_network, starts_as_the_unchanged_model_with_bounded_initial_values) {
  const auto model = make_model();
  const auto x = at::randn({2, 5, kWidth});
  const auto before = qkv_output(model, x);
  const auto network = make_network(model);
  EXPECT_TRUE(qkv_output(model, x).equal(before));
  const auto down = network->modules().back()->merged().down;
  EXPECT_LE(down.abs().max().item<double>(), 0.25);  // 1/sqrt(16)
  EXPECT_GT(down.abs().max().item<double>(), 0.2);
}

TEST(lora_network, initial_values_depend_on_seed_and_module_name_alone) {
  const auto model = make_model();
  const auto one = by_name(make_network(model)->state(at::kFloat));
  const auto other = by_name(make_network(model, {"emb_dims=2,2,2,2,2,2"})->state(at::kFloat));
  NetworkSetup setup;
  setup.seed = 1;
  const auto reseeded = by_name(make_network(model, {}, {}, setup)->state(at::kFloat));
  const std::string key = "lora_unet_joint_blocks_1_x_block_attn_proj.lora_down.weight";
  EXPECT_TRUE(one.at(key).equal(other.at(key)));
  EXPECT_FALSE(one.at(key).equal(reseeded.at(key)));
}

TEST(lora_network, groups_are_slices_of_one_buffer_in_the_order_of_the_models) {
  const auto model = make_model();
  const auto network = make_network(model);
  LearningRates rates;
  rates.learning_rate = 1e-3;
  rates.text_encoder_lr = {1e-4, 2e-4};
  const auto groups = network->param_groups(rates);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "textencoder 1");
  EXPECT_EQ(groups[0].lr, 1e-4);
  EXPECT_EQ(groups[1].name, "unet");
  EXPECT_EQ(groups[1].lr, 1e-3);
  int64_t elements = 0;
  for (const auto& group : groups) {
    int64_t in_group = 0;
    const char* next = static_cast<const char*>(group.flat.data_ptr());
    for (const auto& parameter : group.parameters) {
      EXPECT_EQ(parameter.value.data_ptr(), next) << parameter.name;
      EXPECT_TRUE(parameter.value.requires_grad());
      EXPECT_TRUE(parameter.value.grad().is_alias_of(network->flat_gradients()));
      next += parameter.value.nbytes();
      in_group += parameter.value.numel();
    }
    EXPECT_EQ(in_group, group.flat.numel());
    elements += in_group;
  }
  EXPECT_EQ(elements, network->flat_values().numel());
}

TEST(lora_network, lora_plus_cuts_the_groups_and_rate_0_leaves_them_out) {
  const auto model = make_model();
  const auto network = make_network(model, {"loraplus_unet_lr_ratio=16"});
  LearningRates rates;
  rates.mmdit_lr = 1e-3;
  const auto groups = network->param_groups(rates);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "unet");
  EXPECT_EQ(groups[1].name, "unet plus");
  EXPECT_DOUBLE_EQ(groups[1].lr, 1.6e-2);
  for (const auto& parameter : groups[0].parameters) EXPECT_NE(parameter.name.find("lora_down"), std::string::npos);
  for (const auto& parameter : groups[1].parameters) EXPECT_NE(parameter.name.find("lora_up"), std::string::npos);
  rates.mmdit_lr = 0;
  EXPECT_TRUE(network->param_groups(rates).empty());
}

TEST(lora_network, backward_fills_the_flat_gradient) {
  const auto model = make_model();
  const auto network = make_network(model, {"split_qkv=True"});
  randomize(*network);
  const auto x = at::randn({2, 5, kWidth});
  model.layer("joint_blocks.0.x_block.attn.qkv").forward(x).pow(2).sum().backward();
  double sum = 0;
  for (const auto& parameter : network->parameters()) {
    const double norm = parameter.value.grad().norm().item<double>();
    EXPECT_EQ(norm > 0, parameter.name.find("joint_blocks_0_x_block_attn_qkv") != std::string::npos) << parameter.name;
    sum += norm * norm;
  }
  EXPECT_NEAR(network->flat_gradients().norm().item<double>(), std::sqrt(sum), 1e-3 * std::sqrt(sum));
}

TEST(lora_network, split_pairs_are_saved_merged_with_three_times_alpha) {
  const auto model = make_model();
  NetworkConfig config;
  config.network_dim = 2;
  config.network_alpha = 3;
  const auto network = make_network(model, {"split_qkv=True"}, config);
  randomize(*network);
  const auto state = by_name(network->state(at::kFloat));
  const std::string qkv = "lora_unet_joint_blocks_0_x_block_attn_qkv";
  EXPECT_EQ(state.at(qkv + ".alpha").item<double>(), 9);
  EXPECT_EQ(state.at(qkv + ".alpha").dim(), 0);
  EXPECT_EQ(state.at(qkv + ".lora_down.weight").sizes(), (std::vector<int64_t>{6, kWidth}));
  EXPECT_EQ(state.at(qkv + ".lora_up.weight").sizes(), (std::vector<int64_t>{3 * kWidth, 6}));
  const auto x = at::randn({4, kWidth});
  const auto with = qkv_output(model, x);
  network->set_multiplier(0);
  const auto delta = state.at(qkv + ".lora_up.weight").mm(state.at(qkv + ".lora_down.weight")) * (9.0 / 6);
  EXPECT_TRUE((qkv_output(model, x) + x.mm(delta.t())).allclose(with, 1e-4, 1e-5));

  NetworkSetup setup;
  setup.compat_alpha_qkv = true;
  const auto compat = make_network(model, {"split_qkv=True"}, config, setup);
  EXPECT_EQ(by_name(compat->state(at::kFloat)).at(qkv + ".alpha").item<double>(), 3);
}

class LoraFileRoundTrip : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(LoraFileRoundTrip, a_saved_file_restores_the_network_exactly) {
  const auto [split, compat] = GetParam();
  const test::TempFolder folder;
  const auto model = make_model();
  NetworkSetup setup;
  setup.compat_alpha_qkv = compat;
  const std::vector<std::string> items{split, "emb_dims=2,2,2,2,2,2"};
  const auto saved = make_network(model, items, {}, setup);
  randomize(*saved);
  write_lora_file(folder / "a.safetensors", saved->state(at::kFloat), {});
  NetworkConfig config;
  config.network_weights = (folder / "a.safetensors").string();
  const auto loaded = make_network(model, items, config, setup);
  EXPECT_TRUE(loaded->flat_values().equal(saved->flat_values()));
  for (size_t i = 0; i < saved->modules().size(); ++i) {
    EXPECT_EQ(loaded->modules()[i]->scale(), saved->modules()[i]->scale());
  }
}

INSTANTIATE_TEST_SUITE_P(all, LoraFileRoundTrip,
                         ::testing::Combine(::testing::Values("split_qkv=False", "split_qkv=True"), ::testing::Bool()));

TEST(lora_network, alpha_of_a_loaded_file_is_stored_and_used) {
  const test::TempFolder folder;
  const auto model = make_model();
  NetworkConfig config;
  config.network_alpha = 2;
  write_lora_file(folder / "a.safetensors", make_network(model, {}, config)->state(at::kFloat), {});
  config.network_alpha = 1;
  config.network_weights = (folder / "a.safetensors").string();
  const auto network = make_network(model, {}, config);
  EXPECT_EQ(network->modules()[0]->scale(), 0.5);
  EXPECT_EQ(by_name(network->state(at::kFloat)).begin()->second.item<double>(), 2);
}

TEST(lora_network, ranks_and_alphas_can_come_from_the_file) {
  const test::TempFolder folder;
  const auto model = make_model();
  NetworkConfig config;
  config.network_dim = 3;
  config.network_alpha = 6;
  const std::vector<std::string> items{"split_qkv=True", "train_block_indices=1", "emb_dims=0,0,2,0,0,0"};
  const auto saved = make_network(model, items, config);
  randomize(*saved);
  write_lora_file(folder / "a.safetensors", saved->state(at::kFloat), {});
  NetworkConfig from_file;
  from_file.network_weights = (folder / "a.safetensors").string();
  from_file.dim_from_weights = true;
  const auto same = make_network(model, {"split_qkv=True"}, from_file);
  EXPECT_TRUE(same->flat_values().equal(saved->flat_values()));
  const auto merged = make_network(model, {}, from_file);
  ASSERT_EQ(merged->modules().size(), saved->modules().size());
  const auto want = by_name(saved->state(at::kFloat)), got = by_name(merged->state(at::kFloat));
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) EXPECT_TRUE(got.at(name).equal(tensor)) << name;
}

TEST(lora_network, a_file_of_another_rank_is_refused) {
  const test::TempFolder folder;
  const auto model = make_model();
  NetworkConfig config;
  config.network_dim = 3;
  write_lora_file(folder / "a.safetensors", make_network(model, {}, config)->state(at::kFloat), {});
  config.network_dim = 4;
  config.network_weights = (folder / "a.safetensors").string();
  try {
    make_network(model, {}, config);
    FAIL() << "accepted";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("lora_down [3,8]"), std::string::npos) << error.what();
  }
}

TEST(lora_network, merging_gives_the_output_of_the_attached_network) {
  const auto model = make_model();
  const auto network = make_network(model, {"split_qkv=True", "emb_dims=2,2,2,2,2,2"});
  randomize(*network);
  network->set_multiplier(0.8);
  network->set_training(false);
  const auto x = at::randn({2, 5, kWidth});
  const auto patches = at::randn({2, 5, 16});
  const at::NoGradGuard no_grad;
  const auto qkv = qkv_output(model, x), embedded = model.layer("x_embedder.proj").forward(patches);
  network->merge_into_targets(0.8);
  EXPECT_EQ(model.layer("x_embedder.proj").adapter(), nullptr);
  EXPECT_TRUE(qkv_output(model, x).allclose(qkv, 1e-4, 1e-5));
  EXPECT_TRUE(model.layer("x_embedder.proj").forward(patches).allclose(embedded, 1e-4, 1e-5));
}

TEST(lora_network, base_weights_are_merged_with_their_multipliers) {
  const test::TempFolder folder;
  const auto model = make_model();
  const auto network = make_network(model);
  randomize(*network);
  write_lora_file(folder / "a.safetensors", network->state(at::kFloat), {});
  const auto x = at::randn({2, 5, kWidth});
  network->set_multiplier(1.5);
  const auto want = qkv_output(model, x);
  network->set_multiplier(0);
  NetworkConfig config;
  config.base_weights = {(folder / "a.safetensors").string(), (folder / "a.safetensors").string()};
  config.base_weights_multiplier = {0.5};
  merge_base_weights(config, model.targets());
  EXPECT_TRUE(qkv_output(model, x).allclose(want, 1e-4, 1e-5));
  config.base_weights_multiplier = {1, 1, 1};
  EXPECT_THROW(merge_base_weights(config, model.targets()), UsageError);
}

/// Share of changed outputs of a layer whose correction is 1 for each of its ranks.
at::Tensor dropped_output(const std::vector<std::string>& items, std::optional<double> network_dropout, int64_t step) {
  SyntheticModel model;
  model.add_weight(TargetModel::mmdit, "joint_blocks.0.x_block.attn.proj", at::zeros({64, 8}));
  NetworkConfig config;
  config.network_dim = 64;
  config.network_alpha = 64;
  config.network_dropout = network_dropout;
  const auto network = make_network(model, items, config);
  const at::NoGradGuard no_grad;
  for (const auto& parameter : network->parameters()) {
    auto value = parameter.value.detach();
    value.copy_(parameter.name.find("up") != std::string::npos ? at::eye(64) : at::full({64, 8}, 1.0 / 8));
  }
  network->begin_micro_step(step);
  return model.layer("joint_blocks.0.x_block.attn.proj").forward(at::ones({50, 7, 8}));
}

TEST(lora_network, neuron_dropout_acts_per_element_and_keeps_the_mean) {
  const auto y = dropped_output({}, 0.25, 0);
  const auto kept = y.gt(0);
  EXPECT_NEAR(kept.to(at::kFloat).mean().item<double>(), 0.75, 0.01);
  EXPECT_NEAR(y.mean().item<double>(), 1, 0.02);
  EXPECT_FALSE(kept.select(1, 0).equal(kept.select(1, 1)));
}

TEST(lora_network, rank_dropout_is_shared_by_all_tokens_of_a_sample) {
  const auto y = dropped_output({"rank_dropout=0.5"}, std::nullopt, 0);
  EXPECT_NEAR(y.gt(0).to(at::kFloat).mean().item<double>(), 0.5, 0.03);
  EXPECT_EQ(y.max().item<double>(), 2);
  for (int64_t token = 1; token < 7; ++token) EXPECT_TRUE(y.select(1, token).equal(y.select(1, 0)));
  EXPECT_FALSE(y[0].equal(y[1]));
}

TEST(lora_network, module_dropout_drops_whole_calls_and_draws_depend_on_the_micro_step) {
  int dropped = 0;
  for (int64_t step = 0; step < 200; ++step) {
    const auto y = dropped_output({"module_dropout=0.3"}, std::nullopt, step);
    const double sum = y.sum().item<double>();
    EXPECT_TRUE(sum == 0 || y.eq(1).all().item<bool>());
    dropped += sum == 0;
  }
  EXPECT_NEAR(dropped / 200.0, 0.3, 0.1);
  EXPECT_FALSE(dropped_output({}, 0.5, 1).equal(dropped_output({}, 0.5, 2)));
  EXPECT_TRUE(dropped_output({}, 0.5, 1).equal(dropped_output({}, 0.5, 1)));
}

TEST(lora_network, dropouts_rest_outside_of_training) {
  const auto model = make_model();
  NetworkConfig config;
  config.network_dropout = 0.5;
  const auto network = make_network(model, {"rank_dropout=0.5", "module_dropout=0.9"}, config);
  randomize(*network);
  network->set_training(false);
  const auto x = at::randn({2, 5, kWidth});
  const auto y = qkv_output(model, x);
  network->begin_micro_step(7);
  EXPECT_TRUE(qkv_output(model, x).equal(y));
  network->set_training(true);
  EXPECT_FALSE(qkv_output(model, x).equal(y));
}

TEST(lora_network, weight_norms_are_limited) {
  const auto model = make_model();
  const auto network = make_network(model, {"split_qkv=True", "emb_dims=2,2,2,2,2,2"});
  randomize(*network);
  std::vector<double> norms;
  for (const auto& module : network->modules()) {
    norms.push_back(module->merged().delta().norm().item<double>());
    EXPECT_NEAR(module->norm(), norms.back(), 1e-5 * norms.back());
  }
  std::sort(norms.begin(), norms.end());
  const double limit = norms[norms.size() / 2] * 1.001;
  const auto report = network->limit_weight_norms(limit);
  EXPECT_EQ(report.scaled, std::count_if(norms.begin(), norms.end(), [&](double norm) { return norm > limit; }));
  EXPECT_NEAR(report.max_norm, limit, 1e-9);
  for (const auto& module : network->modules()) EXPECT_LE(module->norm(), limit * 1.00001);
}

TEST(create_network, unknown_networks_and_empty_ones_are_refused) {
  const auto model = make_model();
  NetworkConfig config;
  config.network_module = "networks.dylora";
  EXPECT_THROW(create_network(config, model.targets(), {}), UsageError);
  config.network_module = "networks.lora";
  EXPECT_NE(create_network(config, model.targets(), {}), nullptr);
  config.network_train_unet_only = true;
  config.network_args = {"train_block_indices=none"};
  EXPECT_THROW(create_network(config, model.targets(), {}), UsageError);
}

}  // namespace
}  // namespace loraptor::network
