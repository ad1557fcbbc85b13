// `loraptor generate`: images from a checkpoint with LoRAs.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command_options.h"
#include "pipeline/text_to_image.h"
#include "tensor/device.h"
#include "tensor/dtype.h"

namespace loraptor::cli {
namespace {

struct GenerateArgs {
  pipeline::TextToImage job;
  std::vector<std::string> loras;
  std::vector<double> strengths;
  std::vector<std::string> prompts;
  std::optional<std::string> prompt_file, negative_prompt, device;
  std::string outdir = "outputs", mixed_precision = "no";
  std::optional<int64_t> width, height, steps, seed, cpu_threads;
  std::optional<double> scale, slg_scale, slg_start, slg_end;
  std::optional<std::string> slg_layers;
  int64_t images_per_prompt = 1;
};

void add_options(CommandOptions& options, GenerateArgs& args) {
  auto& model = args.job.model;
  options.add("--pretrained_model_name_or_path", &model.pretrained_model_name_or_path,
              "Checkpoint with the MMDiT and normally the VAE.");
  options.add("--clip_l", &model.clip_l, "CLIP-L file; wins over a copy in the checkpoint.");
  options.add("--clip_g", &model.clip_g, "CLIP-G file; wins likewise.");
  options.add("--t5xxl", &model.t5xxl, "T5-XXL file; wins likewise.");
  options.add("--vae", &model.vae, "VAE file; wins likewise.");
  options.add("--network_weights", &args.loras, "LoRA files.");
  options.add("--network_mul", &args.strengths, "Strength of each LoRA. Without it: 1.");
  options.add("--prompt", &args.prompts,
              "Prompts, an image each; options such as --w 768 may follow inside the quotes.");
  options.add("--from_file", &args.prompt_file, "Prompt file as for --sample_prompts: .txt, .toml or .json.");
  options.add("--negative_prompt", &args.negative_prompt, "Negative prompt of all images, before that of the prompt.");
  options.add("--width", &args.width, "Width of all images, px, before that of the prompt (512 if neither says it).");
  options.add("--height", &args.height, "Height likewise.");
  options.add("--steps", &args.steps, "Sampling steps likewise (30).");
  options.add("--scale", &args.scale, "Guidance likewise (7.5).");
  options.add("--slg_scale", &args.slg_scale,
              "Strength of skip-layer guidance likewise (0, off; 2.5 for SD3.5 Medium).");
  options.add("--slg_layers", &args.slg_layers, "Blocks that it leaves out likewise (7,8,9).");
  options.add("--slg_start", &args.slg_start, "It acts after this share of the steps, likewise (0.01) …");
  options.add("--slg_end", &args.slg_end, "… and before this one (0.2).");
  options.add("--seed", &args.seed, "Seed likewise; without any each image gets a fresh one, named in its file.");
  options.add("--images_per_prompt", &args.images_per_prompt, "Images of each prompt, with seeds one after the other.");
  options.add("--outdir", &args.outdir, "Folder for the images.");
  options.add("--mixed_precision", &args.mixed_precision, "Precision of the models.", {"no", "fp16", "bf16"});
  options.add("--no_half_vae", &model.no_half_vae, "Run the VAE in float whatever --mixed_precision says.");
  options.add("--t5xxl_max_token_length", &model.t5xxl_max_token_length, "T5 tokens per prompt.");
  options.add("--apply_lg_attn_mask", &model.apply_lg_attn_mask, "Mask padding inside CLIP-L and CLIP-G.");
  options.add("--apply_t5_attn_mask", &model.apply_t5_attn_mask, "Mask padding inside T5.");
  options.add("--tokenizer_cache_dir", &model.tokenizer_cache_dir, "Folder with the tokenizers' vocabularies.");
  options.add("--disable_mmap_load_safetensors", &model.disable_mmap_load_safetensors,
              "Read model files with plain reads.");
  options.add("--device", &args.device, "cpu or cuda. Without it: a GPU where this build can use one.");
  options.add("--cpu_threads", &args.cpu_threads, "Threads of the tensor library.");
}

int64_t side(int64_t asked, const char* flag) {
  constexpr int64_t kStep = 16, kLeast = 64;
  const int64_t side = std::max(kLeast, asked - asked % kStep);
  if (side != asked) log::warn("[{}] got {}, expected a multiple of 16, at least 64; {} is taken.", flag, asked, side);
  return side;
}

std::vector<int64_t> slg_layers(const std::string& text) {
  const auto layers = pipeline::parse_layers(text);
  if (!layers) throw UsageError(fmt::format("[--slg_layers] got '{}', expected block numbers such as 7,8,9.", text));
  return *layers;
}

/// The prompts with what the command line says about all of them.
std::vector<pipeline::SamplePrompt> read_prompts(const GenerateArgs& args) {
  if (args.prompts.empty() == !args.prompt_file.has_value()) {
    throw UsageError("[--prompt] and --from_file: got none or both, expected one of them.");
  }
  std::vector<pipeline::SamplePrompt> prompts;
  for (const auto& line : args.prompts) prompts.push_back(pipeline::parse_prompt_line(line));
  if (args.prompt_file) prompts = pipeline::read_prompt_file(*args.prompt_file);
  for (auto& prompt : prompts) {
    if (args.negative_prompt) prompt.negative_prompt = *args.negative_prompt;
    if (args.width) prompt.width = side(*args.width, "--width");
    if (args.height) prompt.height = side(*args.height, "--height");
    if (args.steps) prompt.steps = *args.steps;
    if (args.scale) prompt.scale = *args.scale;
    if (args.seed) prompt.seed = *args.seed;
    if (args.slg_scale) prompt.slg.scale = *args.slg_scale;
    if (args.slg_start) prompt.slg.start = *args.slg_start;
    if (args.slg_end) prompt.slg.end = *args.slg_end;
    if (args.slg_layers) prompt.slg.layers = slg_layers(*args.slg_layers);
  }
  return prompts;
}

/// One entry an image, each with its seed.
std::vector<pipeline::SamplePrompt> one_per_image(const GenerateArgs& args) {
  constexpr int64_t kSeeds = int64_t{1} << 32;
  int64_t fresh = static_cast<int64_t>(unix_time() * 1e6);
  std::vector<pipeline::SamplePrompt> images;
  for (const auto& prompt : read_prompts(args)) {
    const int64_t first = prompt.seed ? *prompt.seed : (fresh += 7919) % kSeeds;
    for (int64_t i = 0; i < args.images_per_prompt; ++i) {
      images.push_back(prompt);
      images.back().seed = static_cast<int64_t>(static_cast<uint64_t>(first) + static_cast<uint64_t>(i));
    }
  }
  return images;
}

void check(const GenerateArgs& args) {
  constexpr int64_t kMaxSteps = 1000;
  if (args.images_per_prompt < 1) {
    throw UsageError(fmt::format("[--images_per_prompt] got {}, expected at least 1.", args.images_per_prompt));
  }
  if (args.steps && (*args.steps < 1 || *args.steps > kMaxSteps)) {
    throw UsageError(fmt::format("[--steps] got {}, expected 1 to {}.", *args.steps, kMaxSteps));
  }
  if (args.job.model.t5xxl_max_token_length < 2) {
    throw UsageError(fmt::format("[--t5xxl_max_token_length] got {}, expected at least 2, a token and the end.",
                                 args.job.model.t5xxl_max_token_length));
  }
  if (args.cpu_threads && *args.cpu_threads < 1) {
    throw UsageError(fmt::format("[--cpu_threads] got {}, expected at least 1.", *args.cpu_threads));
  }
}

}  // namespace

int run_generate(const Words& words) {
  GenerateArgs args;
  CommandOptions options(
      "generate --pretrained_model_name_or_path FILE --prompt TEXT [--network_weights LORA...] [options]",
      "Makes images, as the samples of a training run are made: the same seed gives the same picture.\n");
  add_options(options, args);
  if (!options.parse(words)) return 0;
  check(args);
  auto& job = args.job;
  if (args.cpu_threads) at::set_num_threads(static_cast<int>(*args.cpu_threads));
  tensor::set_matmul_precision(tensor::MatmulPrecision::automatic);
  job.device = args.device ? tensor::named_device(*args.device, "--device") : tensor::default_device();
  job.dtype = tensor::dtype_from_precision(args.mixed_precision, "--mixed_precision");
  job.vae_dtype = job.model.no_half_vae ? at::kFloat : job.dtype;
  if (!args.loras.empty() || !args.strengths.empty()) {
    job.loras = network::read_weighted_loras(args.loras, args.strengths, {"--network_weights", "--network_mul"});
  }
  const auto images = one_per_image(args);
  const std::string stamp = local_time_stamp();
  const Stopwatch watch;
  pipeline::text_to_images(job, images, [&](size_t number, const io::Image& image) {
    const auto path =
        std::filesystem::path(args.outdir) / fmt::format("im_{}_{:03d}_{}.png", stamp, number, *images[number].seed);
    io::write_png(path, image);
    fmt::print("{}\n", path.string());
    std::fflush(stdout);
  });
  log::info("{} image(s) in {:.1f} s", images.size(), watch.seconds());
  return 0;
}

}  // namespace loraptor::cli
