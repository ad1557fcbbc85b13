// When a loss counts as lost, and what is said of it.
#include "train/divergence.h"

#include <gtest/gtest.h>

#include "network/synthetic_targets.h"
#include "train/module_probe.h"

namespace loraptor::train {
namespace {

LossWatch calm_watch() {
  LossWatch watch;
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(watch.explodes(0.5 + 0.01 * i));
  return watch;
}

TEST(LossWatch, FiveFarLossesInARowAreAnExplosion) {
  LossWatch watch = calm_watch();
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(watch.explodes(500));
  EXPECT_FALSE(watch.is_calm());
  EXPECT_TRUE(watch.explodes(500));
}

TEST(LossWatch, SingleHighLossesAreNormal) {
  LossWatch watch = calm_watch();
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(watch.explodes(i % 2 == 0 ? 5000 : 0.5));
}

TEST(LossWatch, SaysNothingAtTheStart) {
  LossWatch watch;
  for (double loss = 1e-3; loss < 1e9; loss *= 10) EXPECT_FALSE(watch.explodes(loss));
}

TEST(LossWatch, GoesOnAfterAResume) {
  LossWatch watch = calm_watch();
  for (int i = 0; i < 3; ++i) watch.explodes(500);
  TrainState state;
  watch.save(state);
  LossWatch other;
  other.restore(train_state_from_json(to_json(state), "test"));
  EXPECT_FALSE(other.explodes(500));
  EXPECT_TRUE(other.explodes(500));
}

TEST(Divergence, NamesStepImagesModuleAndTheStateBefore) {
  const std::string text = lost_loss(NAN, {12, {"cat", "dog"}, "layer a.b", "out/r-state"}).what();
  for (const char* part : {"nan", "step 12", "cat, dog", "layer a.b", "--resume out/r-state"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(Divergence, ProposesRollbackOnlyWhereItIsOff) {
  const std::string off = lost_loss(NAN, {12, {}, "", ""}).what();
  const std::string on = lost_loss(NAN, {12, {}, "", "", /*rolls_back=*/true}).what();
  EXPECT_NE(off.find("--on_nan rollback"), std::string::npos) << off;
  EXPECT_EQ(on.find("--on_nan rollback"), std::string::npos) << on;
}

/// Two layers one behind the other; the second has a LoRA.
class Probed : public testing::Test {
 protected:
  Probed() {
    model_.add_weight(network::TargetModel::mmdit, "joint_blocks.0.x_block.mlp.fc1", at::ones({4, 4}));
    model_.add_weight(network::TargetModel::mmdit, "joint_blocks.0.x_block.mlp.fc2", at::ones({4, 4}));
    network::NetworkConfig config;
    config.network_dim = 1;
    network_ = network::create_network(config, model_.targets(), {.seed = 1});
  }
  std::string probe(const at::Tensor& x) {
    return ModuleProbe(model_.targets()).first_not_finite([&] {
      out_ = model_.layer("joint_blocks.0.x_block.mlp.fc2")
                 .forward(model_.layer("joint_blocks.0.x_block.mlp.fc1").forward(x));
    });
  }

  test::SyntheticModel model_;
  std::unique_ptr<network::Network> network_;
  at::Tensor out_;
};

TEST_F(Probed, FindsTheFirstLayerWhoseOutputIsLost) {
  EXPECT_EQ(probe(at::ones({1, 4})), "");
  const at::Tensor before = out_;
  {
    const at::NoGradGuard no_grad;
    network_->parameters().back().value.fill_(INFINITY);
  }
  EXPECT_EQ(probe(at::ones({1, 4})), "layer joint_blocks.0.x_block.mlp.fc2 of the MMDiT");
  EXPECT_EQ(probe(at::full({1, 4}, NAN)), "what goes into layer joint_blocks.0.x_block.mlp.fc1 of the MMDiT");
  {
    const at::NoGradGuard no_grad;
    network_->parameters().back().value.zero_();
  }
  EXPECT_EQ(probe(at::ones({1, 4})), "");
  EXPECT_TRUE(at::equal(out_, before)) << "the layers are as they were";
}

TEST_F(Probed, FindsTheModuleALostGradientComesFrom) {
  EXPECT_EQ(module_of_lost_gradient(*network_), "");
  for (auto& parameter : network_->parameters()) {
    if (parameter.name.find("fc1") != std::string::npos) parameter.value.grad().fill_(NAN);
  }
  EXPECT_EQ(module_of_lost_gradient(*network_), "the gradient of lora_unet_joint_blocks_0_x_block_mlp_fc1");
  network_->parameters().back().value.grad().fill_(NAN);
  EXPECT_EQ(module_of_lost_gradient(*network_), "the gradient of lora_unet_joint_blocks_0_x_block_mlp_fc2");
}

TEST_F(Probed, FindsTheLargestGradient) {
  for (auto& parameter : network_->parameters()) parameter.value.grad().fill_(1);
  network_->parameters().front().value.grad().fill_(5);
  EXPECT_EQ(module_of_largest_gradient(*network_), "the gradient of lora_unet_joint_blocks_0_x_block_mlp_fc1");
}

}  // namespace
}  // namespace loraptor::train
