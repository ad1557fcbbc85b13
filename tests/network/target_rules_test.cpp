// Which modules are created: the lists of the full-size networks, and the rules behind network_args.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "network/target_rules.h"
#include "support/golden.h"
#include "synthetic_targets.h"

namespace loraptor::network {
namespace {

using test::SyntheticModel;

struct FullSize {
  std::string name;
  test::MmditShape shape;
};

const std::vector<FullSize>& full_sizes() {
  static const std::vector<FullSize> sizes{
      {"sd3_medium", {1536, 24}}, {"sd35_medium", {1536, 24, 13}}, {"sd35_large", {2432, 38}}};
  return sizes;
}

/// "NAME 16x1536 4608x16", as the golden file writes it.
std::string line_of(const ModulePlan& plan) {
  const auto [down, up] = saved_shapes(plan);
  return fmt::format("{} {} {}", plan.name, fmt::join(down, "x"), fmt::join(up, "x"));
}

std::vector<ModulePlan> plan(const SyntheticModel& model, std::vector<std::string> items, int64_t dim = 16) {
  NetworkConfig config;
  config.network_dim = dim;
  return plan_modules(config, parse_network_args(items), model.targets());
}

std::set<std::string> lines_of(const std::vector<ModulePlan>& plans) {
  std::set<std::string> lines;
  for (const auto& plan : plans) lines.insert(line_of(plan));
  return lines;
}

std::vector<std::string> first_names(const std::vector<ModulePlan>& plans, size_t begin, size_t count) {
  std::vector<std::string> names;
  for (size_t i = begin; i < begin + count; ++i) names.push_back(plans.at(i).name);
  return names;
}

double parameters_per_rank(const std::vector<ModulePlan>& plans) {
  double sum = 0;
  for (const auto& plan : plans) sum += plan.target.layer->in_features() + plan.target.layer->out_features();
  return sum;
}

std::set<std::string> texts(const nlohmann::json& list) {
  const auto values = list.get<std::vector<std::string>>();
  return {values.begin(), values.end()};
}

void check_mmdit(const FullSize& size, const nlohmann::json& want, const nlohmann::json& counts) {
  SyntheticModel model;
  test::add_mmdit(model, size.shape);
  const auto plans = plan(model, {});
  EXPECT_EQ(lines_of(plans), texts(want["mmdit"])) << size.name;
  EXPECT_EQ(plans.size(), counts["modules"].get<size_t>());
  EXPECT_EQ(parameters_per_rank(plans), counts["parameters_per_rank"].get<double>());
  const auto order = want["creation_order_first_block"].get<std::vector<std::string>>();
  EXPECT_EQ(first_names(plans, 0, order.size()), order);

  auto with_embedders = plan(model, {"emb_dims=[16,16,16,16,16,16]"});
  EXPECT_EQ(with_embedders.size(), counts["with_emb_modules"].get<size_t>());
  const auto emb_order = want["emb_creation_order"].get<std::vector<std::string>>();
  EXPECT_EQ(first_names(with_embedders, plans.size(), emb_order.size()), emb_order);
  with_embedders.erase(with_embedders.begin(), with_embedders.begin() + static_cast<std::ptrdiff_t>(plans.size()));
  EXPECT_EQ(lines_of(with_embedders), texts(want["emb_dims"]));

  auto split = lines_of(plan(model, {"split_qkv=True"}));
  for (const auto& line : lines_of(plans)) split.erase(line);
  EXPECT_EQ(split, texts(want["split_qkv"]));
}

void check_encoders(const nlohmann::json& golden) {
  SyntheticModel model;
  test::add_t5(model, 4096, 4096, 10240, 24);  // any order of the targets gives the order of the reference
  test::add_clip(model, TargetModel::clip_g, 1280, 32);
  test::add_clip(model, TargetModel::clip_l, 768, 12);
  const auto clip = plan(model, {});
  EXPECT_EQ(lines_of(clip), texts(golden["te_clip"]));
  const auto all = plan(model, {"train_t5xxl=True"});
  auto t5 = lines_of(all);
  for (const auto& line : lines_of(clip)) t5.erase(line);
  EXPECT_EQ(t5, texts(golden["te_t5"]));
  std::vector<std::string> order;
  for (const auto& plan : all) {
    if (plan.name.find("layers_0_") != std::string::npos || plan.name.find("block_0_") != std::string::npos) {
      order.push_back(plan.name);
    }
  }
  EXPECT_EQ(order, golden["te_creation_order_first_layers"].get<std::vector<std::string>>());
}

TEST(GoldenLoraKeys, full_size_networks_have_the_names_and_shapes_of_the_reference) {
  const auto files = test::golden_files("models", "lora_keys_full", ".json");
  if (files.empty()) GTEST_SKIP() << "no lora_keys_full.json in " << test::golden_folder();
  for (const auto& file : files) {
    const auto golden = test::read_golden_json(file);
    for (const auto& size : full_sizes()) {
      if (golden.contains(size.name)) check_mmdit(size, golden[size.name], golden["counts"][size.name]);
    }
    if (golden.contains("te_clip")) check_encoders(golden);
  }
}

SyntheticModel small_model() {
  SyntheticModel model;
  test::add_mmdit(model, {64, 3, 1, 32, 48});
  test::add_clip(model, TargetModel::clip_l, 16, 2);
  return model;
}

std::map<std::string, int64_t> ranks_of(const std::vector<ModulePlan>& plans) {
  std::map<std::string, int64_t> ranks;
  for (const auto& plan : plans) ranks[plan.name] = plan.rank;
  return ranks;
}

TEST(target_rules, a_rank_per_type_overrides_the_base_rank_and_0_leaves_the_type_out) {
  const auto model = small_model();
  const auto ranks = ranks_of(plan(model, {"context_attn_dim=2", "x_attn_dim=5", "x_mlp_dim=0", "x_mod_dim=7"}, 4));
  EXPECT_EQ(ranks.at("lora_unet_joint_blocks_0_context_block_attn_proj"), 2);
  EXPECT_EQ(ranks.at("lora_unet_joint_blocks_0_context_block_mlp_fc1"), 4);
  EXPECT_EQ(ranks.at("lora_unet_joint_blocks_0_x_block_attn2_qkv"), 5);
  EXPECT_EQ(ranks.at("lora_unet_joint_blocks_0_x_block_adaLN_modulation_1"), 7);
  EXPECT_EQ(ranks.count("lora_unet_joint_blocks_0_x_block_mlp_fc1"), 0u);
  EXPECT_EQ(ranks.at("lora_te1_text_model_encoder_layers_1_mlp_fc2"), 4);
}

TEST(target_rules, block_selection_touches_neither_encoders_nor_embedders) {
  const auto model = small_model();
  const auto ranks = ranks_of(plan(model, {"train_block_indices=1", "emb_dims=1,2,3,4,5,6"}, 4));
  EXPECT_EQ(ranks.count("lora_unet_joint_blocks_0_x_block_attn_qkv"), 0u);
  EXPECT_EQ(ranks.at("lora_unet_joint_blocks_1_x_block_attn_qkv"), 4);
  EXPECT_EQ(ranks.at("lora_te1_text_model_encoder_layers_0_mlp_fc1"), 4);
  EXPECT_EQ(ranks.at("lora_unet_context_embedder"), 1);
  EXPECT_EQ(ranks.at("lora_unet_t_embedder_mlp_2"), 2);
  EXPECT_EQ(ranks.at("lora_unet_x_embedder_proj"), 3);
  EXPECT_EQ(ranks.at("lora_unet_final_layer_linear"), 6);
}

TEST(target_rules, emb_dims_wins_over_conv_dim) {
  const auto model = small_model();
  const auto ranks = ranks_of(plan(model, {"conv_dim=9", "conv_alpha=2", "emb_dims=[0,0,3,0,0,0]"}));
  EXPECT_EQ(ranks.at("lora_unet_x_embedder_proj"), 3);
  EXPECT_EQ(ranks_of(plan(model, {"conv_dim=9", "emb_dims=[1,1,0,1,1,1]"})).count("lora_unet_x_embedder_proj"), 0u);
}

TEST(target_rules, the_train_only_flags_drop_the_other_models) {
  const auto model = small_model();
  NetworkConfig config;
  config.network_train_unet_only = true;
  for (const auto& plan : plan_modules(config, {}, model.targets())) EXPECT_EQ(plan.target.model, TargetModel::mmdit);
  config.network_train_unet_only = false;
  config.network_train_text_encoder_only = true;
  for (const auto& plan : plan_modules(config, {}, model.targets())) EXPECT_EQ(plan.target.model, TargetModel::clip_l);
}

TEST(target_rules, defaults_are_rank_4_and_alpha_1_and_alpha_0_means_the_rank) {
  const auto model = small_model();
  NetworkConfig config;
  auto first = plan_modules(config, {}, model.targets()).front();
  EXPECT_EQ(first.rank, 4);
  EXPECT_EQ(first.alpha, 1);
  config.network_alpha = 0;
  config.network_dim = 6;
  EXPECT_EQ(plan_modules(config, {}, model.targets()).front().alpha, 6);
}

TEST(network_args, block_lists_take_numbers_ranges_all_and_none) {
  EXPECT_EQ(parse_block_indices("all"), std::nullopt);
  EXPECT_EQ(parse_block_indices("none")->size(), 0u);
  EXPECT_EQ(parse_block_indices("")->size(), 0u);
  EXPECT_EQ(*parse_block_indices("0, 1,4-6"), (std::vector<int64_t>{0, 1, 4, 5, 6}));
  EXPECT_THROW(parse_block_indices("3-1"), UsageError);
  EXPECT_THROW(parse_block_indices("999"), UsageError);
  EXPECT_THROW(parse_block_indices("a"), UsageError);
}

std::string refusal(const std::vector<std::string>& items) {
  try {
    parse_network_args(items);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(network_args, an_unknown_key_is_accepted_as_in_the_reference_and_told_with_the_nearest_one) {
  const auto args = parse_network_args({"rank_dropuot=0.1", "module_dropout=0.5"});
  ASSERT_EQ(args.warnings.size(), 1u);
  EXPECT_NE(args.warnings[0].find("rank_dropuot"), std::string::npos) << args.warnings[0];
  EXPECT_NE(args.warnings[0].find("rank_dropout"), std::string::npos) << args.warnings[0];
  EXPECT_EQ(args.rank_dropout, 0);
  EXPECT_EQ(args.module_dropout, 0.5);
  EXPECT_NE(refusal({"verbose"}).find("key=value"), std::string::npos);
}

TEST(network_args, the_reference_s_switches_are_on_for_exactly_True) {
  for (const std::string key : {"split_qkv", "train_t5xxl", "verbose"}) {
    const auto args = parse_network_args({key + "=true"});
    EXPECT_FALSE(args.split_qkv || args.train_t5xxl || args.verbose) << key;
    ASSERT_EQ(args.warnings.size(), 1u);
    EXPECT_NE(args.warnings[0].find(key + "=true counts as False"), std::string::npos) << args.warnings[0];
    EXPECT_TRUE(parse_network_args({key + "=False"}).warnings.empty());
    const auto on = parse_network_args({key + "=True"});
    EXPECT_TRUE((on.split_qkv || on.train_t5xxl || on.verbose) && on.warnings.empty()) << key;
  }
}

TEST(network_args, values_of_the_wrong_form_are_refused) {
  EXPECT_NE(refusal({"dora_wd=true"}).find("True or False"), std::string::npos);
  EXPECT_NE(refusal({"emb_dims=1,2"}).find("six numbers"), std::string::npos);
  EXPECT_NE(refusal({"x_attn_dim=-1"}).find("whole number"), std::string::npos);
  EXPECT_NE(refusal({"module_dropout=1"}).find("probability"), std::string::npos);
  EXPECT_EQ(refusal({"module_dropout=0.5", "split_qkv=True", "dropout=0.1"}), "accepted");
}

}  // namespace
}  // namespace loraptor::network
