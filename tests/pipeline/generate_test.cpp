// Sampling against the recorded run of the reference.
#include "pipeline/generate.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "flow/euler_sampler.h"
#include "sample_models.h"

namespace loraptor::pipeline {
namespace {

using test::GoldenFile;

class GoldenSample : public testing::TestWithParam<std::filesystem::path> {
 protected:
  GoldenSample() : file_(GetParam()), model_(GetParam().stem().string().substr(std::string("sample_").size())) {}

  /// Conditioning of the recorded positive (0) or negative (1) prompt: recorded, else encoded.
  models::Conditioning conditioning(const std::string& prefix, size_t prompt) const {
    if (file_.has(prefix + ".context") && file_.has(prefix + ".y")) {
      return {file_[prefix + ".context"], file_[prefix + ".y"]};
    }
    const auto encoding = encoders();
    return models::assemble_conditioning(encoding->encode(prompts(prompt), false));
  }
  std::vector<std::string> prompts(size_t index) const { return {file_.metadata("prompts")[index].get<std::string>()}; }
  std::optional<TextEncoding> encoders() const {
    TextEncodingOptions options;
    options.t5_length = test::metadata_number<int64_t>(file_, "t5_length");
    return test::golden_text_encoding(model_, options);
  }

  GoldenFile file_;
  std::string model_;
};

TEST_P(GoldenSample, noise_levels_match) {
  for (const auto& name : file_.names_starting("sigmas")) {
    const auto& want = file_[name];
    const auto got = flow::sample_sigmas(want.size(0) - 1);
    file_.expect_close(name, at::tensor(got, at::kDouble), want, 1e-6);
  }
}

TEST_P(GoldenSample, prompts_are_encoded_the_same) {
  const auto encoding = encoders();
  if (!encoding) GTEST_SKIP() << "no tokenizer vocabularies are installed";
  for (const auto& [prefix, prompt] : {std::pair<std::string, size_t>{"pos", 0}, {"neg", 1}}) {
    const auto got = models::assemble_conditioning(encoding->encode(prompts(prompt), false));
    if (file_.has(prefix + ".context")) {
      file_.expect_close(prefix + ".context", got.context, test::tolerance("context"));
    }
    if (file_.has(prefix + ".y")) file_.expect_close(prefix + ".y", got.pooled, test::tolerance("pooled"));
  }
}

TEST_P(GoldenSample, latents_of_every_step_and_the_image_match) {
  const auto files = test::golden_model_files(model_);
  const models::MMDiT mmdit(files.part(models::Part::mmdit, {}), {});
  const models::Vae vae(files.part(models::Part::vae, {}));
  memory::PlainRunner runner;
  GenerateRequest request{{}, conditioning("pos", 0), conditioning("neg", 1), file_["noise"]};
  request.prompt.steps = test::metadata_number<int64_t>(file_, "steps");
  request.prompt.scale = test::metadata_number<double>(file_, "cfg");
  request.prompt.width = test::metadata_number<int64_t>(file_, "width");
  request.prompt.height = test::metadata_number<int64_t>(file_, "height");
  const double limit = test::tolerance("sampled_latents");
  std::vector<float> timesteps;
  for (double sigma : flow::sample_sigmas(request.prompt.steps)) timesteps.push_back(static_cast<float>(sigma) * 1000);
  timesteps.pop_back();
  if (file_.has("timesteps")) file_.expect_close("timesteps", at::tensor(timesteps), 1e-4);
  const GenerateModels models{mmdit, vae, runner};
  const auto final = sample_latents(models, request, [&](const SampleStep& step) {
    const std::string velocity = fmt::format("velocity_step{}", step.done - 1);
    const std::string latents = fmt::format("latent_after_step{}", step.done);
    if (file_.has(velocity)) {
      file_.expect_close(velocity, step.velocity, step.done == 1 ? test::tolerance("mmdit") : limit);
    }
    if (file_.has(latents)) file_.expect_close(latents, step.latents, limit);
  });
  if (file_.has("final")) file_.expect_close("final", final, limit);
  if (!file_.has("image_u8")) return;
  const auto image = decode_image(vae, final);
  ASSERT_EQ(image.width, request.prompt.width);
  ASSERT_EQ(image.height, request.prompt.height);
  const auto bytes = at::tensor(at::ArrayRef<uint8_t>(image.pixels), at::kByte).view({image.height, image.width, 3});
  file_.expect_close("image_u8", bytes, test::tolerance("image_bytes_max"));
  const auto differing = bytes.ne(file_["image_u8"]).sum().item<double>();
  EXPECT_LE(differing / static_cast<double>(bytes.numel()), test::tolerance("image_bytes_share"));
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenSample,
                         testing::ValuesIn(test::golden_files("models", "sample_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenSample);

/// One step by hand: guidance, then away from the model without a block.
TEST(SkipLayerGuidance, leaves_blocks_out_in_its_steps_alone) {
  const auto files = test::golden_model_files("tiny_sd35m");
  const models::MMDiT mmdit(files.part(models::Part::mmdit, {}), {});
  const models::Vae vae(files.part(models::Part::vae, {}));
  memory::PlainRunner runner;
  const GenerateModels models{mmdit, vae, runner};
  at::manual_seed(1);
  const auto text = [&] {
    return models::Conditioning{at::randn({1, 85, mmdit.variant().context_width}),
                                at::randn({1, mmdit.variant().pooled_width})};
  };
  GenerateRequest request{{}, text(), text(), at::randn({1, 16, 8, 8})};
  request.prompt.steps = 4;
  const auto run = [&](double scale, double start, std::vector<int64_t> layers) {
    request.prompt.slg = {.scale = scale, .layers = std::move(layers), .start = start, .end = 0.3};
    std::vector<at::Tensor> latents;
    sample_latents(models, request, [&](const SampleStep& step) { latents.push_back(step.latents.clone()); });
    return latents;
  };
  const auto plain = run(0, 0.01, {1, 2}), guided = run(2.5, 0.01, {1, 2}), late = run(2.5, 0.29, {1, 2});
  EXPECT_TRUE(at::equal(plain[0], guided[0]));  // step 0 is before the start
  EXPECT_FALSE(at::equal(plain[1], guided[1]));
  EXPECT_TRUE(at::equal(plain[3], late[3]));  // no step lies between start and end

  const auto sigmas = flow::sample_sigmas(4);
  models::MMDiTInput input{.x = plain[0],
                           .timesteps = at::full({1}, static_cast<float>(sigmas[1]) * 1000.0f),
                           .context = request.positive.context,
                           .pooled = request.positive.pooled,
                           .crop = std::nullopt,
                           .skipped = {}};
  const at::NoGradGuard no_grad;
  const auto whole = mmdit.forward(input, runner);
  input.skipped = {1, 2};
  const auto without = mmdit.forward(input, runner);
  const auto want = plain[1] + 2.5 * (whole - without) * (sigmas[2] - sigmas[1]);
  EXPECT_TRUE(guided[1].allclose(want, 1e-4, 1e-4));
  EXPECT_THROW(run(2.5, 0.01, {4}), UsageError);
}

TEST(SampleNoise, depends_on_seed_and_size_alone) {
  SamplePrompt prompt;
  prompt.width = 64;
  prompt.height = 96;
  const auto noise = sample_noise(prompt, 7);
  EXPECT_EQ(noise.sizes(), at::IntArrayRef({1, 16, 12, 8}));
  prompt.prompt = "another";
  EXPECT_TRUE(at::equal(noise, sample_noise(prompt, 7)));
  EXPECT_FALSE(at::equal(noise, sample_noise(prompt, 8)));
}

}  // namespace
}  // namespace loraptor::pipeline
