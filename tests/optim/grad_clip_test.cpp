// Gradient clipping and loss scaling.
#include "optim/grad_clip.h"

#include <gtest/gtest.h>

#include <cmath>

#include "optim/grad_scaler.h"
#include "optim/long_sums.h"

namespace loraptor {
namespace {

TEST(GradClip, NormIsOverAllBuffersAndFactorIsTorchs) {
  std::vector<at::Tensor> grads = {at::tensor({3.0f, 0.0f}), at::tensor({0.0f, 4.0f})};
  EXPECT_DOUBLE_EQ(optim::clip_grad_norm(grads, 1.0), 5.0);
  EXPECT_FLOAT_EQ(grads[0][0].item<float>(), 3.0f / (5.0f + 1e-6f));
  EXPECT_FLOAT_EQ(grads[1][1].item<float>(), 4.0f / (5.0f + 1e-6f));
}

TEST(GradClip, NormOfALargeNetworkIsExact) {
  // As many elements as rank 16 on SD3.5 Medium has; a few larger ones among them, as gradients have.
  const auto grad = at::randn({30'000'001}).pow_(3);
  const double exact = grad.to(at::kDouble).norm().item<double>();
  EXPECT_NEAR(optim::grad_norm({grad}) / exact, 1, 1e-6);
  EXPECT_NEAR(optim::grad_norm({grad.narrow(0, 0, 7)}) / grad.narrow(0, 0, 7).norm().item<double>(), 1, 1e-6);
  EXPECT_NEAR(optim::long_dot(grad, grad) / (exact * exact), 1, 1e-6);
}

TEST(GradClip, SmallGradientsAndLimitZeroChangeNothing) {
  std::vector<at::Tensor> grads = {at::tensor({0.3f, 0.4f})};
  EXPECT_NEAR(optim::clip_grad_norm(grads, 1.0), 0.5, 1e-7);
  EXPECT_NEAR(optim::clip_grad_norm(grads, 0.0), 0.5, 1e-7);
  EXPECT_EQ(grads[0][1].item<float>(), 0.4f);
}

TEST(GradClip, UnscalesBeforeClipping) {
  std::vector<at::Tensor> grads = {at::tensor({3.0f, 4.0f}) * 65536};
  EXPECT_DOUBLE_EQ(optim::clip_grad_norm(grads, 10.0, 65536), 5.0);
  EXPECT_FLOAT_EQ(grads[0][1].item<float>(), 4.0f);
  EXPECT_DOUBLE_EQ(optim::clip_grad_norm(grads, 2.5, 1), 5.0);
  EXPECT_NEAR(grads[0][1].item<float>(), 2.0f, 1e-5);
}

TEST(GradScaler, HalvesOnOverflowAndDoublesAfterTwoThousandGoodSteps) {
  optim::GradScaler scaler(true);
  EXPECT_FALSE(scaler.update(std::nan("")));
  EXPECT_FALSE(scaler.update(INFINITY));
  EXPECT_EQ(scaler.scale(), 16384);
  for (int i = 0; i < 1999; ++i) EXPECT_TRUE(scaler.update(1.0));
  EXPECT_EQ(scaler.scale(), 16384);
  optim::GradScaler copy(true);
  copy.load_state_dict(scaler.state_dict());
  copy.update(1.0);
  EXPECT_EQ(copy.scale(), 32768);
}

TEST(GradScaler, DisabledNeverSkips) {
  optim::GradScaler scaler(false);
  EXPECT_TRUE(scaler.update(INFINITY));
  EXPECT_EQ(scaler.scale(), 1);
}

}  // namespace
}  // namespace loraptor
