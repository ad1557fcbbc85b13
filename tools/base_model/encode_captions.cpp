// Encodes captions with a model's text encoders and writes what the transformer reads: the base model is trained on the
// very numbers that the trainer computes.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "io/safetensors.h"
#include "pipeline/encode_text.h"

namespace loraptor::tools {
namespace {

constexpr const char* kUsage =
    "encode_captions ENCODERS CAPTIONS.txt T5_TOKENS OUT.safetensors\n"
    "  ENCODERS   folder with clip_l.safetensors, clip_g.safetensors and t5xxl.safetensors\n"
    "  CAPTIONS   one a line; an empty line is the empty caption\n"
    "  written    context [N,77+T5_TOKENS,C] and pooled [N,P], float16, in the order of the lines\n";
constexpr size_t kBatch = 64;

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw FileError(path, "cannot be read: expected a text file with one caption a line.");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

pipeline::TextEncoding load_encoders(const std::string& folder, int64_t t5_tokens) {
  models::ModelConfig config;
  config.pretrained_model_name_or_path = folder + "/clip_l.safetensors";  // any file: the transformer is not read
  config.clip_l = folder + "/clip_l.safetensors";
  config.clip_g = folder + "/clip_g.safetensors";
  config.t5xxl = folder + "/t5xxl.safetensors";
  const auto files = models::ModelFiles::open(config);
  pipeline::TextEncoding encoders(text::load_tokenizers(text::default_tokenizer_search()), {.t5_length = t5_tokens});
  encoders.load_clip(files, {});
  encoders.load_t5(files, {});
  return encoders;
}

void encode_file(const std::vector<std::string>& words) {
  const auto captions = read_lines(words[1]);
  const auto encoders = load_encoders(words[0], std::stoll(words[2]));
  std::vector<at::Tensor> contexts, pooled;
  for (size_t at = 0; at < captions.size(); at += kBatch) {
    const auto end = captions.begin() + static_cast<ptrdiff_t>(std::min(at + kBatch, captions.size()));
    const std::vector<std::string> part(captions.begin() + static_cast<ptrdiff_t>(at), end);
    const auto conditioning = models::assemble_conditioning(encoders.encode(part, /*with_grad=*/false));
    contexts.push_back(conditioning.context.to(at::kHalf));
    pooled.push_back(conditioning.pooled.to(at::kHalf));
  }
  io::write_safetensors(words[3], {{"context", at::cat(contexts)}, {"pooled", at::cat(pooled)}});
}

}  // namespace
}  // namespace loraptor::tools

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() != 4) throw loraptor::UsageError(loraptor::tools::kUsage);
    loraptor::tools::encode_file(words);
  } catch (const loraptor::UsageError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "encode_captions: %s\n", e.what());
    return 3;
  }
  return 0;
}
