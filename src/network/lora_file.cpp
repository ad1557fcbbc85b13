#include "network/lora_file.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "network/key_names.h"
#include "network/peft_keys.h"
#include "tensor/dtype.h"

namespace loraptor::network {
namespace {

std::string shape_text(const at::Tensor& tensor) { return fmt::format("[{}]", fmt::join(tensor.sizes(), ",")); }

io::NamedTensors read_tensors(const std::filesystem::path& path, io::Metadata& metadata) {
  const auto file = io::SafetensorsFile::open(path);
  metadata = file->metadata();
  io::NamedTensors tensors;
  for (const auto& name : file->names()) tensors.emplace_back(name, file->tensor(name));
  return tensors;
}

/// Checks one module's tensors against each other.
void check_pair(const std::filesystem::path& path, const std::string& name, const LoraPair& pair) {
  for (const auto& [half, key] : {std::pair{pair.down, kDownKey}, std::pair{pair.up, kUpKey}}) {
    if (!half.defined()) throw FileError(path, fmt::format("{}{}: got no such tensor, expected one.", name, key));
    if (half.dim() < 2) {
      throw FileError(path, fmt::format("{}{}: got shape {}, expected a matrix.", name, key, shape_text(half)));
    }
    if (!half.is_floating_point()) {
      throw FileError(path, fmt::format("{}{}: got dtype {}, expected floats.", name, key,
                                        tensor::safetensors_name(half.scalar_type())));
    }
  }
  if (pair.rank() == 0) {
    throw FileError(path, fmt::format("{}: got down {} of rank 0, expected at least 1.", name, shape_text(pair.down)));
  }
  if (pair.up.flatten(1).size(1) != pair.rank()) {
    throw FileError(path, fmt::format("{}: got up {} for down {}, expected equal ranks.", name, shape_text(pair.up),
                                      shape_text(pair.down)));
  }
}

/// Fills in alphas and checks all modules.
void finish_modules(LoraFile& file, const std::map<std::string, double>& alphas) {
  std::vector<std::string> without_alpha;
  for (auto& [name, pair] : file.modules) {
    check_pair(file.path, name, pair);
    const auto alpha = alphas.find(name);
    if (alpha == alphas.end()) without_alpha.push_back(name);
    pair.alpha = alpha == alphas.end() ? static_cast<double>(pair.rank()) : alpha->second;
  }
  if (!without_alpha.empty()) {
    log::warn("[{}] {} modules have no alpha (first: {}); alpha = rank is taken.", file.path.string(),
              without_alpha.size(), without_alpha.front());
  }
  for (const auto& [name, alpha] : alphas) {
    if (file.modules.count(name) == 0) file.unknown_keys.push_back(name + std::string(kAlphaKey));
  }
}

}  // namespace

at::Tensor LoraPair::delta() const {
  const auto a = down.flatten(1).to(at::kFloat), b = up.flatten(1).to(at::kFloat);
  return at::mm(b, a).mul_(scale());
}

double alpha_value(const at::Tensor& tensor, const std::string& key, const std::filesystem::path& path) {
  if (tensor.numel() != 1) {
    throw FileError(path, fmt::format("{}: got shape {}, expected a scalar.", key, shape_text(tensor)));
  }
  const double alpha = tensor.to(at::kDouble).item<double>();
  if (!std::isfinite(alpha)) {
    throw FileError(path, fmt::format("{}: got {}, expected a finite number.", key, alpha));
  }
  return alpha;
}

FileError foreign_part(const std::filesystem::path& path, const std::string& key) {
  const auto has = [&](std::string_view part) { return key.find(part) != std::string::npos; };
  const char* what = "another part of a module";
  if (has("lora_magnitude_vector") || has(".dora_scale")) {
    what = "a part of DoRA";
  } else if (has("lora_mid") || has("_t1") || has("_t2")) {
    what = "a Tucker decomposition";
  } else if (has("bias") || key.ends_with(".diff_b")) {
    what = "a trained bias";
  }
  return {path, fmt::format("{}: got {}, expected lora_down and lora_up (lora_A and lora_B) with alpha alone: without "
                            "it the module would act otherwise.\nHint: merge the file with the program that made it, "
                            "then `loraptor extract` makes a plain LoRA of the difference.",
                            key, what)};
}

LoraFile native_modules(const io::NamedTensors& tensors, const std::filesystem::path& path) {
  LoraFile file;
  file.path = path;
  std::map<std::string, double> alphas;
  for (const auto& [key, tensor] : tensors) {
    const auto [module, suffix] = split_key(key);
    const bool known = model_of_module(module).has_value();
    if (known && suffix == kDownKey) {
      file.modules[module].down = tensor;
    } else if (known && suffix == kUpKey) {
      file.modules[module].up = tensor;
    } else if (known && suffix == kAlphaKey) {
      alphas[module] = alpha_value(tensor, key, path);
    } else {
      file.unknown_keys.push_back(key);
    }
  }
  for (const auto& key : file.unknown_keys) {
    if (file.modules.count(split_key(key).module) != 0) throw foreign_part(path, key);
  }
  finish_modules(file, alphas);
  return file;
}

LoraFile read_lora_file(const std::filesystem::path& path) {
  io::Metadata metadata;
  auto tensors = read_tensors(path, metadata);
  if (has_peft_names(tensors)) tensors = from_peft(tensors, path, metadata);
  LoraFile file = native_modules(tensors, path);
  if (file.modules.empty()) {
    throw FileError(path, fmt::format("LoRA modules: got none among {} tensors{}, expected names such as "
                                      "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight.",
                                      tensors.size(), tensors.empty() ? "" : " (first: " + tensors[0].first + ")"));
  }
  file.metadata = std::move(metadata);
  return file;
}

bool is_block_diagonal(const LoraPair& pair, int64_t parts) {
  const auto up = pair.up.flatten(1);
  if (pair.rank() % parts != 0 || up.size(0) % parts != 0) return false;
  const int64_t rank = pair.rank() / parts, rows = up.size(0) / parts;
  for (int64_t i = 0; i < parts; ++i) {
    for (int64_t j = 0; j < parts; ++j) {
      const auto block = up.narrow(0, i * rows, rows).narrow(1, j * rank, rank);
      if (i != j && block.ne(0).any().item<bool>()) return false;
    }
  }
  return true;
}

std::string model_hash(const io::NamedTensors& tensors) {
  const auto layout = io::safetensors_layout(tensors, {});
  Sha256 hash;
  io::stream_safetensors_data(tensors, layout, [&](const void* data, size_t bytes) { hash.update(data, bytes); });
  return hash.hex();
}

std::string legacy_hash(const io::NamedTensors& tensors, const io::Metadata& metadata) {
  constexpr uint64_t kBegin = 0x100000, kEnd = 0x110000;
  constexpr size_t kDigits = 8;
  io::Metadata counted;
  for (const auto& [key, value] : metadata) {
    if (key.starts_with("ss_")) counted[key] = value;
  }
  const auto layout = io::safetensors_layout(tensors, counted, /*always_metadata=*/true);
  Sha256 hash;
  uint64_t position = 0;
  const auto add = [&](const void* data, size_t bytes) {
    const uint64_t begin = std::clamp(kBegin, position, position + bytes);
    const uint64_t end = std::clamp(kEnd, position, position + bytes);
    if (begin < end) hash.update(static_cast<const char*>(data) + (begin - position), end - begin);
    position += bytes;
  };
  add(layout.header.data(), layout.header.size());
  io::stream_safetensors_data(tensors, layout, add);
  return hash.hex().substr(0, kDigits);
}

void write_lora_file(const std::filesystem::path& path, const io::NamedTensors& tensors, io::Metadata metadata) {
  metadata["sshs_model_hash"] = model_hash(tensors);
  metadata["sshs_legacy_hash"] = legacy_hash(tensors, metadata);
  io::write_safetensors(path, tensors, metadata);
}

}  // namespace loraptor::network
