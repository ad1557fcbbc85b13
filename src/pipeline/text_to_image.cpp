#include "pipeline/text_to_image.h"

#include <ATen/core/grad_mode.h>

#include <map>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "models/encoder_check.h"
#include "network/applied_lora.h"
#include "pipeline/encode_text.h"
#include "pipeline/generate.h"

namespace loraptor::pipeline {
namespace {

using network::TargetLinear;
using network::TargetModel;

class ImageMaker {
 public:
  explicit ImageMaker(const TextToImage& job) : job_(job), files_(models::ModelFiles::open(job.model)) {}

  void run(const std::vector<SamplePrompt>& prompts, const ImageSink& sink) {
    const at::NoGradGuard no_grad;
    models::check_encoders_fit(files_);
    encode(prompts);
    const models::Vae vae(files_.part(models::Part::vae, load_options(job_.vae_dtype)));
    models::MMDiT mmdit(files_.part(models::Part::mmdit, load_options(job_.dtype)), {});
    std::vector<TargetLinear> targets;
    add_targets(targets, TargetModel::mmdit, mmdit);
    attach(targets);
    tell_unused();
    memory::PlainRunner runner;
    for (size_t number = 0; number < prompts.size(); ++number) {
      const auto& prompt = prompts[number];
      LORAPTOR_ASSERT(prompt.seed.has_value());
      sink(number, generate_image({mmdit, vae, runner}, {.prompt = prompt,
                                                         .positive = conditioning(prompt.prompt),
                                                         .negative = conditioning(prompt.negative_prompt),
                                                         .noise = sample_noise(prompt, *prompt.seed)}));
    }
  }

 private:
  models::LoadOptions load_options(at::ScalarType dtype) const { return {.dtype = dtype, .device = job_.device}; }

  template <class Model>
  static void add_targets(std::vector<TargetLinear>& targets, TargetModel which, Model& model) {
    model.visit_linears([&](const std::string& path, nn::Linear& layer) { targets.push_back({which, path, &layer}); });
  }

  void attach(const std::vector<TargetLinear>& targets) { attached_.merge(network::attach_loras(job_.loras, targets)); }

  void tell_unused() const {
    std::set<std::string> unused;
    for (const auto& lora : job_.loras) {
      for (const auto& name : lora.module_names()) {
        if (attached_.count(name) == 0) unused.insert(name);
      }
    }
    if (unused.empty()) return;
    if (attached_.empty()) {
      throw FileError(
          job_.loras.front().file.path,
          fmt::format("LoRA modules: got {} that match no layer (first: {}), expected modules of the loaded "
                      "models.",
                      unused.size(), *unused.begin()));
    }
    log::warn("[--network_weights] {} modules match no layer of the loaded models, left out (first: {}).",
              unused.size(), *unused.begin());
  }

  /// Encodes each text alone, as a training run does for its samples.
  void encode(const std::vector<SamplePrompt>& prompts) {
    const Stopwatch watch;
    std::set<std::string> texts;
    for (const auto& prompt : prompts) texts.insert({prompt.prompt, prompt.negative_prompt});
    TextEncoding encoders(
        text::load_tokenizers(text::default_tokenizer_search({}, job_.model.tokenizer_cache_dir.value_or(""))),
        TextEncodingOptions{.t5_length = job_.model.t5xxl_max_token_length,
                            .mask_clip = job_.model.apply_lg_attn_mask,
                            .mask_t5 = job_.model.apply_t5_attn_mask});
    encoders.load_clip(files_, load_options(job_.dtype));
    std::vector<TargetLinear> targets;
    add_targets(targets, TargetModel::clip_l, encoders.clip_l());
    add_targets(targets, TargetModel::clip_g, encoders.clip_g());
    attach(targets);
    for (const auto& text : texts) outputs_[text] = encoders.encode(std::vector<std::string>{text}, false);
    encoders.release_clip();
    encoders.load_t5(files_, load_options(job_.dtype));
    targets.clear();
    add_targets(targets, TargetModel::t5, encoders.t5());
    attach(targets);
    for (const auto& text : texts) {
      outputs_[text].t5_out = encoders.encode(std::vector<std::string>{text}, false).t5_out;
    }
    log::info("{} texts encoded in {:.1f} s", texts.size(), watch.seconds());
  }

  models::Conditioning conditioning(const std::string& text) const {
    return models::assemble_conditioning(outputs_.at(text));
  }

  const TextToImage& job_;
  models::ModelFiles files_;
  std::set<std::string> attached_;
  std::map<std::string, models::TextOutputs> outputs_;
};

}  // namespace

void text_to_images(const TextToImage& job, const std::vector<SamplePrompt>& prompts, const ImageSink& sink) {
  ImageMaker(job).run(prompts, sink);
}

}  // namespace loraptor::pipeline
