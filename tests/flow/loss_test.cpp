// Losses and their gradients against the reference.
#include "flow/loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "flow/loss_weighting.h"
#include "flow/noisy_input.h"
#include "flow_args.h"
#include "support/elsewhere.h"
#include "support/golden.h"
#include "support/number_check.h"

namespace loraptor {
namespace {

constexpr double kRelative = 1e-6, kAbsolute = 1e-8;

/// What one unit in the last place of the root changes in 2 c (sqrt(d^2 + c^2) - c), or without the factor c. MKL's
/// float32 root is not always the nearest number, and which one it is depends on the processor: the recorded numbers
/// are those of one machine.
double root_unit(const nlohmann::json& c, const flow::FlowConfig& config) {
  if (c["huber_c_per_sample"].is_null()) return 0;
  const auto parameters = test::json_numbers(c["huber_c_per_sample"]);
  const double largest = *std::max_element(parameters.begin(), parameters.end());
  return std::ldexp(largest, -23) * 2 * (config.loss_type == "huber" ? largest : 1);
}

void check_case(const nlohmann::json& file, const nlohmann::json& c, test::NumberCheck& check) {
  auto config = test::flow_config(c["args"]);
  if (c.value("error", false)) {
    EXPECT_THROW(flow::check_loss_config(config), UsageError) << c.dump();
    return;
  }
  config.weighting_scheme = c["weighting_scheme"];
  const std::string name = c["args"].dump() + " " + config.weighting_scheme + " ";
  const auto shape = file["shape"].get<std::vector<int64_t>>();
  auto prediction = test::json_tensor(file["pred"], shape).requires_grad_(true);
  const auto target = test::json_tensor(file["target"], shape);
  flow::LossTerms terms;
  terms.timesteps = test::json_tensor(c["timesteps"], {-1});
  terms.loss_weights = test::json_tensor(c["loss_weights"], {-1});
  terms.weighting = flow::loss_weighting(config, flow::sigma(terms.timesteps));
  if (c["masked"].get<bool>()) {
    terms.mask = test::json_tensor(file["mask"], file["mask_shape"].get<std::vector<int64_t>>());
  }
  const auto expect = [&](const std::string& what, const at::Tensor& got, const std::vector<double>& want) {
    check.expect(name + what, test::tensor_numbers(got), want, kAbsolute, kRelative);
  };
  if (!c["huber_c_per_sample"].is_null()) {
    expect("c", flow::huber_c_per_sample(config, terms.timesteps), test::json_numbers(c["huber_c_per_sample"]));
  }
  check.expect(name + "elementwise",
               test::tensor_numbers(flow::pointwise_loss(config, prediction, target, terms.timesteps)),
               test::json_numbers(c["elementwise_unweighted"]), kAbsolute + root_unit(c, config), kRelative);
  const auto per_sample = flow::sample_losses(config, prediction, target, terms);
  expect("per_sample", per_sample, test::json_numbers(c["per_sample"]));
  const auto loss = per_sample.mean();
  expect("loss", loss, {test::json_number(c["loss"])});
  loss.backward();
  expect("gradient", prediction.grad(), test::json_numbers(c["gradient"]));
}

TEST(GoldenLoss, EqualsTheReference) {
  const auto path = test::golden_folder() / "train/loss.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not in this golden folder";
  const auto file = test::read_golden_json(path);
  test::NumberCheck check("loss.json");
  for (const auto& c : file["cases"]) check_case(file, c, check);
}

TEST(Loss, MaskedAreaCountsInTheMean) {
  const auto prediction = at::ones({1, 2, 2, 2}), target = at::zeros({1, 2, 2, 2});
  flow::LossTerms terms;
  terms.mask = at::tensor({1.0f, 0.0f, 0.0f, 0.0f}).view({1, 2, 2});
  EXPECT_FLOAT_EQ(flow::sample_losses({}, prediction, target, terms).item<float>(), 0.25f);
}

TEST(Loss, TermsAreOptional) {
  const auto prediction = at::full({2, 16, 4, 4}, 3.0), target = at::ones({2, 16, 4, 4});
  EXPECT_FLOAT_EQ(flow::sample_losses({}, prediction, target, {}).mean().item<float>(), 4.0f);
}

TEST(Loss, UnknownTypeIsRefused) {
  flow::FlowConfig config;
  config.loss_type = "l3";
  EXPECT_THROW(flow::check_loss_config(config), UsageError);
}

TEST(Placement, losses_stay_on_the_device_of_the_model) {
  const test::MixWatch watch;
  const auto latents = test::there(at::zeros({2, 16, 8, 8})), timesteps = test::there(at::zeros({2}));
  for (const char* loss : {"l2", "l1", "huber", "smooth_l1"}) {
    for (const char* weighting : {"sigma_sqrt", "cosmap", "none"}) {
      flow::FlowConfig config;
      config.loss_type = loss;
      config.huber_schedule = "exponential";
      config.weighting_scheme = weighting;
      const auto sigma = flow::sigma(timesteps);
      const auto velocity = test::there(at::zeros({2, 16, 8, 8})).requires_grad_();
      const auto noisy = flow::noisy_latents(latents, latents, sigma);
      const auto losses = flow::sample_losses(config, flow::model_prediction(noisy, sigma, velocity), latents,
                                              {.timesteps = timesteps,
                                               .weighting = flow::loss_weighting(config, sigma),
                                               .mask = test::there(at::zeros({2, 64, 64})),
                                               .loss_weights = test::there(at::zeros({2}))});
      losses.mean().backward();
    }
  }
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>());
}

}  // namespace
}  // namespace loraptor
