// How much of a picture a checkpoint's autoencoder keeps: encodes pictures, decodes the posteriors' means, compares.
#include <ATen/ATen.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/image.h"
#include "models/model_files.h"
#include "models/vae.h"

namespace loraptor::tools {
namespace {

constexpr const char* kUsage =
    "reconstruct CHECKPOINT PICTURE ...\n"
    "  PICTURE    8 bits a channel, sides multiples of 8\n"
    "  printed    the mean over the pictures of the peak signal-to-noise ratio, dB\n";

/// [1,3,H,W] in -1..1.
at::Tensor read_pixels(const std::string& path) {
  io::Image image = io::read_image(path);
  const auto bytes = at::from_blob(image.pixels.data(), {image.height, image.width, image.channels}, at::kByte);
  return (bytes.to(at::kFloat) / 127.5 - 1).permute({2, 0, 1}).unsqueeze(0).contiguous();
}

/// PSNR in dB of values in 0..1.
double reconstruction_psnr(const models::Vae& vae, const at::Tensor& pixels) {
  const auto mean = vae.encode(pixels).chunk(2, 1)[0];
  const auto decoded = vae.decode(mean).to(at::kFloat).clamp(-1, 1);
  return -10 * ((decoded - pixels) / 2).square().mean().log10().item<double>();
}

void measure(const std::vector<std::string>& words) {
  models::ModelConfig config;
  config.pretrained_model_name_or_path = words[0];
  const models::Vae vae(models::ModelFiles::open(config).part(models::Part::vae, {.dtype = at::kFloat}));
  double sum = 0;
  for (size_t i = 1; i < words.size(); ++i) sum += reconstruction_psnr(vae, read_pixels(words[i]));
  std::printf("%.2f dB\n", sum / static_cast<double>(words.size() - 1));
}

}  // namespace
}  // namespace loraptor::tools

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 2) throw loraptor::UsageError(loraptor::tools::kUsage);
    loraptor::tools::measure(words);
  } catch (const loraptor::UsageError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "reconstruct: %s\n", e.what());
    return 3;
  }
  return 0;
}
