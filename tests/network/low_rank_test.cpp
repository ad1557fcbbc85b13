// Decompositions against the complete one, and what becomes of LoRA pairs.
#include "network/low_rank.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "network/lora_concat.h"
#include "network/lora_resize.h"
#include "relative_error.h"
#include "support/temp_folder.h"

namespace loraptor::network {
namespace {

at::Tensor product(const Svd& svd) { return (svd.u * svd.s).mm(svd.vh).to(at::kDouble); }

/// A pair with kernels for the patch embedder, else matrices.
LoraPair random_pair(int64_t rank, int64_t in, int64_t out, double alpha) {
  return {at::randn({rank, in}), at::randn({out, rank}), alpha};
}

TEST(low_rank, the_decomposition_of_a_product_is_that_of_the_whole_matrix) {
  at::manual_seed(1);
  for (const auto& [out, rank, in] : {std::array<int64_t, 3>{40, 8, 30}, {5, 8, 30}, {40, 8, 3}}) {
    const auto up = at::randn({out, rank}), down = at::randn({rank, in});
    const auto whole = up.to(at::kDouble).mm(down.to(at::kDouble));
    const auto svd = product_svd(up, down);
    EXPECT_LT(relative(product(svd), whole), 1e-12);
    const auto values = std::get<1>(at::linalg_svd(whole, false));
    EXPECT_TRUE(svd.s.allclose(values.narrow(0, 0, svd.s.size(0)), 1e-10, 1e-10));
    EXPECT_TRUE(svd.u.t().mm(svd.u).allclose(at::eye(svd.s.size(0), at::kDouble), 1e-10, 1e-10));
    EXPECT_NEAR(product_norm(up, down), whole.norm().item<double>(), 1e-9 * whole.norm().item<double>());
  }
}

/// The least possible squared error of a rank, and that of the iteration.
void check_iteration(const at::Tensor& matrix, int64_t rank) {
  const auto all = std::get<1>(at::linalg_svd(matrix.to(at::kDouble), false));
  const double whole = all.square().sum().item<double>();
  const double best = all.slice(0, rank).square().sum().item<double>();
  const auto svd = leading_svd(matrix, rank);
  ASSERT_EQ(svd.s.size(0), rank);
  ASSERT_EQ(svd.s.scalar_type(), at::kFloat) << "this matrix should be large enough for the iteration";
  const double error = (product(svd) - matrix.to(at::kDouble)).square().sum().item<double>();
  EXPECT_LT(error - best, 2e-5 * whole) << "rank " << rank << ", best " << best / whole;
  EXPECT_LT((svd.s.to(at::kDouble) - all.slice(0, 0, rank)).abs().max().item<double>(), 2e-2 * all[0].item<double>());
}

TEST(low_rank, the_iteration_is_as_good_as_the_complete_decomposition) {
  at::manual_seed(2);
  const auto signal = at::randn({700, 6}).mm(at::randn({6, 600}));
  check_iteration(signal + 0.01 * at::randn({700, 600}), 6);   // a LoRA and rounding noise
  check_iteration(signal + 0.01 * at::randn({700, 600}), 32);  // more ranks than there is signal
  check_iteration(at::randn({600, 700}), 16);                  // nothing but noise: the hardest case
  const auto decay = at::pow(at::full({600}, 0.9), at::arange(600));
  check_iteration(std::get<0>(at::linalg_qr(at::randn({900, 600}))) * decay, 20);
}

TEST(low_rank, a_true_low_rank_matrix_is_found_exactly_by_both_methods) {
  at::manual_seed(3);
  const auto matrix = at::randn({640, 5}).mm(at::randn({5, 560}));
  EXPECT_LT(relative(product(leading_svd(matrix, 5)), matrix.to(at::kDouble)), 1e-5);
  EXPECT_LT(relative(product(leading_svd(matrix, 5, SvdMethod::exact)), matrix.to(at::kDouble)), 1e-6);
  // More is asked for than there is: the rest is nothing, not noise or NaN.
  const auto more = leading_svd(matrix, 12);
  EXPECT_LT(relative(product(more), matrix.to(at::kDouble)), 1e-5);
  EXPECT_LT(more.s.slice(0, 5).max().item<double>(), 1e-5 * more.s[0].item<double>());
  EXPECT_EQ(leading_svd(at::zeros({640, 560}), 5).s.abs().max().item<double>(), 0);
}

TEST(low_rank, a_matrix_with_a_few_filled_rows_or_elements_is_found_exactly) {
  at::manual_seed(7);
  for (const int64_t count : {1, 2, 3, 8, 12, 20}) {
    auto rows = at::zeros({640, 560}), elements = at::zeros({640, 560});
    rows.narrow(0, 100, count).normal_();
    for (int64_t i = 0; i < count; ++i) elements[i * 31][i * 17] = 0.01 * static_cast<double>(i + 1);
    for (const auto& matrix : {rows, elements, rows.t().contiguous()}) {
      const auto svd = leading_svd(matrix, 20);
      EXPECT_EQ(svd.s.size(0), 20);
      EXPECT_LT(relative(product(svd), matrix.to(at::kDouble)), 1e-5) << count;
      const auto least = leading_svd(matrix, 1), best = leading_svd(matrix, 1, SvdMethod::exact);
      EXPECT_NEAR(least.s.item<double>(), best.s.item<double>(), 1e-4 * best.s.item<double>()) << count;
    }
  }
}

TEST(lora_resize, ranks_follow_the_rules) {
  const auto values = at::tensor({8.0, 4.0, 2.0, 1.0, 0.5}, at::kDouble);
  EXPECT_EQ(choose_rank(values, {3, RankRule::fixed, 0}), 3);
  EXPECT_EQ(choose_rank(values, {9, RankRule::fixed, 0}), 5);
  EXPECT_EQ(choose_rank(values, {9, RankRule::sv_ratio, 5}), 3);         // > 1.6
  EXPECT_EQ(choose_rank(values, {2, RankRule::sv_ratio, 5}), 2);         // the limit
  EXPECT_EQ(choose_rank(values, {9, RankRule::sv_ratio, 0.5}), 1);       // none is greater than 16
  EXPECT_EQ(choose_rank(values, {9, RankRule::sv_cumulative, 0.8}), 3);  // 8+4 = 0.774 of 15.5
  EXPECT_EQ(choose_rank(values, {9, RankRule::sv_fro, 0.9}), 2);         // 64 of 85.25: 0.75 < 0.81
  EXPECT_EQ(choose_rank(values, {9, RankRule::sv_fro, 2}), 5);
  EXPECT_EQ(choose_rank(at::zeros({4}, at::kDouble), {4, RankRule::fixed, 0}), 1);
  EXPECT_THROW(rank_rule("sv_best"), UsageError);
}

TEST(lora_resize, the_resized_product_is_the_nearest_of_its_rank) {
  at::manual_seed(4);
  const auto pair = random_pair(12, 50, 40, 3);
  ResizedModule report;
  const auto small = resize_pair(pair, {.new_rank = 4}, &report);
  EXPECT_EQ(small.rank(), 4);
  EXPECT_DOUBLE_EQ(small.scale(), pair.scale());
  const auto want = product(leading_svd(pair.delta(), 4, SvdMethod::exact));
  EXPECT_LT(relative(small.delta().to(at::kDouble), want), 1e-5);
  EXPECT_EQ(report.old_rank, 12);
  EXPECT_NEAR(report.fro_retained, (small.delta().norm() / pair.delta().norm()).item<double>(), 1e-5);
  const auto same = resize_pair(pair, {.new_rank = 99});
  EXPECT_LT(relative(same.delta(), pair.delta()), 1e-5);
}

TEST(lora_resize, kernels_keep_their_shape) {
  at::manual_seed(5);
  const LoraPair pair{at::randn({6, 16, 2, 2}), at::randn({32, 6, 1, 1}), 6};
  const auto small = resize_pair(pair, {.new_rank = 2});
  EXPECT_EQ(small.down.sizes(), at::IntArrayRef({2, 16, 2, 2}));
  EXPECT_EQ(small.up.sizes(), at::IntArrayRef({32, 2, 1, 1}));
}

class LoraConcat : public testing::Test {
 protected:
  LoraConcat() {
    at::manual_seed(6);
    a_.ratio = 0.7;
    a_.file.path = "a";
    a_.file.modules = {{"lora_unet_x", random_pair(4, 20, 30, 2)}, {"lora_unet_only_a", random_pair(2, 8, 8, 2)}};
    b_.ratio = -0.5;
    b_.file.path = "b";
    b_.file.modules = {{"lora_unet_x", random_pair(3, 20, 30, 9)}};
  }
  WeightedLora a_, b_;
};

TEST_F(LoraConcat, products_are_the_weighted_sums) {
  const auto both = concat_loras({a_, b_});
  ASSERT_EQ(both.size(), 2u);
  const auto want = 0.7 * a_.file.modules["lora_unet_x"].delta() - 0.5 * b_.file.modules["lora_unet_x"].delta();
  EXPECT_EQ(both.at("lora_unet_x").rank(), 7);
  EXPECT_LT(relative(both.at("lora_unet_x").delta(), want), 1e-6);
  EXPECT_LT(relative(both.at("lora_unet_only_a").delta(), 0.7 * a_.file.modules["lora_unet_only_a"].delta()), 1e-6);
}

TEST_F(LoraConcat, one_file_with_ratio_1_stays_as_it_is) {
  a_.ratio = 1;
  const auto same = concat_loras({a_});
  EXPECT_TRUE(same.at("lora_unet_x").up.equal(a_.file.modules["lora_unet_x"].up));
  EXPECT_TRUE(same.at("lora_unet_x").down.equal(a_.file.modules["lora_unet_x"].down));
  EXPECT_EQ(same.at("lora_unet_x").alpha, 2);
}

TEST_F(LoraConcat, a_strength_of_zero_adds_nothing) {
  a_.file.modules["lora_unet_x"].alpha = 0;
  const auto both = concat_loras({a_, b_});
  EXPECT_LT(relative(both.at("lora_unet_x").delta(), -0.5 * b_.file.modules["lora_unet_x"].delta()), 1e-6);
}

TEST_F(LoraConcat, shuffling_changes_the_order_and_not_the_product) {
  auto both = concat_loras({a_, b_});
  const auto before = both.at("lora_unet_x");
  shuffle_ranks(both, 0);
  EXPECT_FALSE(both.at("lora_unet_x").down.equal(before.down));
  EXPECT_LT(relative(both.at("lora_unet_x").delta(), before.delta()), 1e-6);
}

TEST_F(LoraConcat, other_shapes_and_other_numbers_of_ratios_are_refused) {
  b_.file.modules["lora_unet_x"] = random_pair(3, 21, 30, 3);
  EXPECT_THROW(concat_loras({a_, b_}), FileError);
  EXPECT_THROW(read_weighted_loras({}, {}), UsageError);
  EXPECT_THROW(read_weighted_loras({"a", "b"}, {1.0}), UsageError);
}

TEST_F(LoraConcat, a_file_with_dora_becomes_no_plain_lora) {
  const test::TempFolder folder;
  auto tensors = lora_tensors({{"lora_unet_joint_blocks_0_x_block_attn_qkv", random_pair(2, 8, 24, 2)}}, at::kFloat);
  io::write_safetensors(folder / "lora", tensors);
  EXPECT_EQ(read_any_lora(folder / "lora").file.modules.size(), 1u);
  tensors.emplace_back("lora_unet_joint_blocks_0_x_block_attn_qkv.dora_scale", at::ones({24, 1}));
  io::write_safetensors(folder / "dora", tensors);
  const auto dora = read_any_lora(folder / "dora");
  EXPECT_EQ(dora.factors.size(), 1u);
  EXPECT_THROW(concat_loras({dora}), FileError);
}

TEST_F(LoraConcat, messages_name_the_flags_of_the_command) {
  try {
    read_weighted_loras({"a", "b"}, {1.0}, {"--network_weights", "--network_mul"});
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("--network_weights"), std::string::npos) << error.what();
  }
}

TEST_F(LoraConcat, the_metadata_tell_sizes_and_origin) {
  a_.file.metadata["ss_base_model_version"] = "5-medium";
  const auto modules = concat_loras({a_, b_});
  const auto metadata = merged_metadata({a_, b_}, modules, "both");
  EXPECT_EQ(metadata.at("ss_network_dim"), "Dynamic");
  EXPECT_EQ(metadata.at("ss_base_model_version"), "5-medium");
  EXPECT_EQ(metadata.at("modelspec.merged_from"), "a, b");
}

}  // namespace
}  // namespace loraptor::network
