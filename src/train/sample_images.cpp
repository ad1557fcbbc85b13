#include "train/sample_images.h"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "io/image.h"

namespace loraptor::train {
namespace {

/// A signal came: the image being made is dropped.
struct Interrupted {};

/// LibTorch's errors carry a backtrace.
std::string reason_of(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  return torch != nullptr ? torch->what_without_backtrace() : error.what();
}

}  // namespace

bool wants_samples(const SampleConfig& sample) {
  return sample.sample_prompts &&
         (sample.sample_at_first || sample.sample_every_n_steps || sample.sample_every_n_epochs);
}

std::vector<std::string> prompt_texts(const std::vector<pipeline::SamplePrompt>& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) {
    texts.push_back(prompt.prompt);
    texts.push_back(prompt.negative_prompt);
  }
  return texts;
}

std::vector<pipeline::SamplePrompt> SampleImages::current_prompts() const {
  if (!setup_.prompts.empty()) return setup_.prompts;
  try {
    return pipeline::read_prompt_file(*setup_.config.sample.sample_prompts);
  } catch (const std::exception& error) {
    log::warn("[sample images] none this time: {}", error.what());
    return {};
  }
}

std::optional<std::vector<SampledImage>> SampleImages::generate(const std::string& moment, const StopSignals& signals) {
  const at::NoGradGuard no_grad;
  const auto prompts = current_prompts();
  const Stopwatch watch;
  std::vector<SampledImage> images;
  for (size_t number = 0; number < prompts.size(); ++number) {
    try {
      images.push_back(generate_one(prompts[number], number, moment, signals));
    } catch (const Interrupted&) {
      // The moment is repeated as a whole, with names of another time.
      std::error_code code;
      for (const auto& image : images) std::filesystem::remove(image.path, code);
      return std::nullopt;
    } catch (const std::exception& error) {
      log::warn("[sample images] number {} at {} is left out: {}", number, moment, reason_of(error));
    }
  }
  if (!prompts.empty()) log::info("{} sample image(s) at {} in {:.1f} s", images.size(), moment, watch.seconds());
  return images;
}

std::filesystem::path sample_file(const SaveConfig& saving, const std::string& moment, size_t number,
                                  std::optional<int64_t> seed) {
  const std::string name = fmt::format("{}{}_{:02d}_{}{}.png", saving.output_name ? *saving.output_name + "_" : "",
                                       moment, number, local_time_stamp(), seed ? fmt::format("_{}", *seed) : "");
  return std::filesystem::path(saving.output_dir.value_or(".")) / "sample" / name;
}

SampledImage SampleImages::generate_one(const pipeline::SamplePrompt& prompt, size_t number, const std::string& moment,
                                        const StopSignals& signals) {
  const auto leave_if_asked = [&] {
    if (signals.received() != 0) throw Interrupted();
  };
  leave_if_asked();
  const tensor::DrawKey key{tensor::Purpose::sample_seed, number, 0};
  const int64_t seed = prompt.seed.value_or(setup_.rng.bits(key, 0));
  const auto image = pipeline::generate_image({setup_.mmdit, setup_.vae, runner_},
                                              {.prompt = prompt,
                                               .positive = conditioning(prompt.prompt),
                                               .negative = conditioning(prompt.negative_prompt),
                                               .noise = pipeline::sample_noise(prompt, seed).to(setup_.device)},
                                              [&](const pipeline::SampleStep&) { leave_if_asked(); });
  const auto path = sample_file(setup_.config.saving, moment, number, prompt.seed);
  io::write_png(path, image);
  return {.path = path, .prompt = prompt.prompt, .moment = moment, .number = static_cast<int64_t>(number)};
}

models::Conditioning SampleImages::conditioning(const std::string& text) const {
  auto result = models::assemble_conditioning(setup_.text({text}));
  return {result.context.to(setup_.device), result.pooled.to(setup_.device)};
}

}  // namespace loraptor::train
