// Timesteps, noise levels, weights and mixing against the reference.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "flow/loss_weighting.h"
#include "flow/noisy_input.h"
#include "flow/timestep_sampling.h"
#include "flow_args.h"
#include "support/golden.h"
#include "support/number_check.h"

namespace loraptor {
namespace {

at::ScalarType dtype_of(const std::string& name) {
  return name == "bfloat16" ? at::kBFloat16 : name == "float16" ? at::kHalf : at::kFloat;
}

/// Distance between neighbouring numbers of a type, relative.
double ulp(at::ScalarType dtype) { return dtype == at::kBFloat16 ? 0x1p-7 : dtype == at::kHalf ? 0x1p-10 : 1e-6; }

void check_case(const nlohmann::json& c, test::NumberCheck& check) {
  const auto config = test::flow_config(c["args"]);
  const auto dtype = dtype_of(c["weight_dtype"]);
  const bool is_float = dtype == at::kFloat;
  const std::string name = c["args"].dump() + " " + c["weight_dtype"].get<std::string>() + " ";
  const auto draws = test::json_tensor(c["draws"], {-1});
  EXPECT_EQ(flow::density_needs_normal(config), c["draw"] == "standard normal");

  const auto u = flow::density_from_draws(config, draws);
  check.expect(name + "u", test::tensor_numbers(u), test::json_numbers(c["u"]), 1e-6, 0);
  const auto timesteps = flow::round_timesteps(flow::timesteps_from_density(config, u), dtype);
  check.expect(name + "timesteps", test::tensor_numbers(timesteps), test::json_numbers(c["timesteps"]), 0, 0);

  const auto sigma = flow::sigma(timesteps, dtype);
  const double limit = is_float ? 1e-6 : 0;
  check.expect(name + "sigmas", test::tensor_numbers(sigma), test::json_numbers(c["sigmas"]), 0, limit);
  const auto latents = at::full_like(sigma, 0.75, at::kFloat), noise = at::full_like(sigma, -1.25, at::kFloat);
  check.expect(name + "mixed", test::tensor_numbers(flow::noisy_latents(latents, noise, sigma)),
               test::json_numbers(c["mixed"]), 1e-7, 1e-6);

  const auto got = test::tensor_numbers(flow::loss_weighting(config, sigma));
  const auto want = test::json_numbers(c["loss_weights"]);
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(want[i])) EXPECT_TRUE(std::isfinite(got[i])) << "sigma 0 must not give an infinite weight";
    else check.expect(name + "weight", got[i], want[i], 0, ulp(dtype));
  }
}

TEST(GoldenTimesteps, EqualTheReference) {
  const auto path = test::golden_folder() / "train/timesteps.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not in this golden folder";
  const auto file = test::read_golden_json(path);
  test::NumberCheck check("timesteps.json");
  for (const auto& c : file["cases"]) check_case(c, check);
}

class RecordedDraws : public tensor::CounterDraws {
 public:
  RecordedDraws() : CounterDraws(1) {}
  std::optional<at::Tensor> recorded_timesteps(const tensor::BatchDraws&) override { return at::tensor({7.0f, 8.5f}); }
};

TEST(Timesteps, RecordedOnesWin) {
  RecordedDraws draws;
  const auto t = flow::sample_timesteps(2, {}, draws, {0, 1, {3, 4}});
  EXPECT_TRUE(at::equal(t, at::tensor({7.0f, 8.5f})));
}

TEST(Timesteps, StayInsideTheLimitsAndDependOnTheDrawsOnly) {
  tensor::CounterDraws draws(5);
  flow::FlowConfig config;
  config.weighting_scheme = "logit_normal";
  config.min_timestep = 100;
  config.max_timestep = 300;
  std::vector<uint64_t> images(500);
  for (size_t i = 0; i < images.size(); ++i) images[i] = i;
  const auto t = flow::sample_timesteps(500, config, draws, {0, 1, images});
  EXPECT_EQ(t.scalar_type(), at::kFloat);
  EXPECT_GE(t.min().item<float>(), 100);
  EXPECT_LT(t.max().item<float>(), 300);
  EXPECT_TRUE(at::equal(t, flow::sample_timesteps(500, config, draws, {9, 1, images})));
}

TEST(Timesteps, RefuseReversedLimitsAndUnknownSchemes) {
  flow::FlowConfig config;
  config.min_timestep = 500;
  config.max_timestep = 400;
  EXPECT_THROW(flow::timesteps_from_density(config, at::tensor({0.5f})), UsageError);
  config.weighting_scheme = "uniformly";
  EXPECT_THROW(flow::density_from_draws(config, at::tensor({0.5f})), UsageError);
}

TEST(NoisyInput, PredictionInvertsTheVelocityOfThePath) {
  const auto latents = at::randn({2, 16, 4, 4}), noise = at::randn({2, 16, 4, 4});
  const auto sigma = flow::sigma(at::tensor({250.0f, 900.0f}));
  const auto noisy = flow::noisy_latents(latents, noise, sigma);
  EXPECT_LT((flow::model_prediction(noisy, sigma, noise - latents) - latents).abs().max().item<float>(), 1e-5);
}

}  // namespace
}  // namespace loraptor
