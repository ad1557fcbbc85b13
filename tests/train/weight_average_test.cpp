// The moving average of the weights.
#include "train/weight_average.h"

#include <gtest/gtest.h>

#include "network/synthetic_targets.h"

namespace loraptor::train {
namespace {

class Average : public testing::Test {
 protected:
  Average() {
    model_.add(network::TargetModel::mmdit, "joint_blocks.0.x_block.attn.qkv", 8, 24);
    network::NetworkConfig config;
    config.network_dim = 2;
    network_ = network::create_network(config, model_.targets(), {.seed = 1});
    set_weights(0);
  }
  void set_weights(double value) {
    const at::NoGradGuard no_grad;
    at::Tensor(network_->flat_values()).fill_(value);
  }
  double weight() const { return network_->flat_values()[0].item<double>(); }

  test::SyntheticModel model_;
  std::unique_ptr<network::Network> network_;
};

TEST_F(Average, FollowsTheFormula) {
  WeightAverage average(*network_, 0.5);
  set_weights(1);
  average.update(1);  // d = min(0.5, 2/11)
  EXPECT_NEAR(average.values()[0].item<double>(), 9.0 / 11, 1e-6);
  set_weights(0);
  average.update(100);  // d = 0.5
  EXPECT_NEAR(average.values()[0].item<double>(), 4.5 / 11, 1e-6);
}

TEST_F(Average, IsInPlaceOnlyDuringTheWork) {
  const WeightAverage average(*network_, 0.5);
  set_weights(3);
  double inside = -1;
  average.while_in_place([&] { inside = weight(); });
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(weight(), 3);
  EXPECT_THROW(average.while_in_place([] { throw std::runtime_error("x"); }), std::runtime_error);
  EXPECT_EQ(weight(), 3);
}

}  // namespace
}  // namespace loraptor::train
