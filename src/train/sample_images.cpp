#include "train/sample_images.h"

#include <ATen/core/grad_mode.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "io/image.h"

namespace loraptor::train {

std::vector<std::string> prompt_texts(const std::vector<pipeline::SamplePrompt>& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) {
    texts.push_back(prompt.prompt);
    texts.push_back(prompt.negative_prompt);
  }
  return texts;
}

std::optional<std::vector<SampledImage>> SampleImages::generate(const std::string& moment, const StopSignals& signals) {
  const at::NoGradGuard no_grad;
  const auto prompts =
      setup_.prompts.empty() ? pipeline::read_prompt_file(*setup_.config.sample.sample_prompts) : setup_.prompts;
  const Stopwatch watch;
  std::vector<SampledImage> images;
  for (size_t number = 0; number < prompts.size(); ++number) {
    if (signals.received() != 0) return std::nullopt;
    images.push_back(generate_one(prompts[number], number, moment));
  }
  log::info("{} sample image(s) at {} in {:.1f} s", images.size(), moment, watch.seconds());
  return images;
}

/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:sample_image_inference (file name).
SampledImage SampleImages::generate_one(const pipeline::SamplePrompt& prompt, size_t number,
                                        const std::string& moment) {
  const tensor::DrawKey key{tensor::Purpose::sample_seed, number, 0};
  const int64_t seed = prompt.seed.value_or(setup_.rng.bits(key, 0));
  const auto image = pipeline::generate_image({setup_.mmdit, setup_.vae, runner_},
                                              {.prompt = prompt,
                                               .positive = conditioning(prompt.prompt),
                                               .negative = conditioning(prompt.negative_prompt),
                                               .noise = pipeline::sample_noise(prompt, seed).to(setup_.device)});
  const auto& saving = setup_.config.saving;
  const std::string name = fmt::format("{}{}_{:02d}_{}{}.png", saving.output_name ? *saving.output_name + "_" : "",
                                       moment, number, local_time_stamp(), prompt.seed ? fmt::format("_{}", seed) : "");
  const auto path = std::filesystem::path(saving.output_dir.value_or(".")) / "sample" / name;
  io::write_png(path, image);
  return {.path = path, .prompt = prompt.prompt, .moment = moment};
}

models::Conditioning SampleImages::conditioning(const std::string& text) const {
  auto result = models::assemble_conditioning(setup_.text({text}));
  return {result.context.to(setup_.device), result.pooled.to(setup_.device)};
}

}  // namespace loraptor::train
