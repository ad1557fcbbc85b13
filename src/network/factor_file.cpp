#include "network/factor_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "io/safetensors.h"
#include "network/factor_module.h"
#include "network/key_names.h"

namespace loraptor::network {
namespace {

/// Keys of factors; what a module must have follows in `is_complete`.
const std::set<std::string> kFactorKeys{"lora_down.weight", "lora_up.weight", "hada_w1_a", "hada_w1_b",
                                        "hada_w2_a",        "hada_w2_b",      "lokr_w1",   "lokr_w1_a",
                                        "lokr_w1_b",        "lokr_w2",        "lokr_w2_a", "lokr_w2_b"};
const std::set<std::string> kTuckerKeys{"hada_t1", "hada_t2", "lokr_t2", "lora_mid.weight"};

bool is_complete(const Factors& factors) {
  const auto all = [&](std::initializer_list<const char*> keys) {
    return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return factors.count(key) != 0; });
  };
  if (all({"lora_down.weight", "lora_up.weight"}) || all({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})) {
    return true;
  }
  return (all({"lokr_w1"}) || all({"lokr_w1_a", "lokr_w1_b"})) && (all({"lokr_w2"}) || all({"lokr_w2_a", "lokr_w2_b"}));
}

}  // namespace

double FactorSet::strength() const {
  const int64_t rank = rank_of(factors);
  return rank == 0 || !alpha ? 1 : *alpha / static_cast<double>(rank);
}

bool is_beyond_lora(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  const auto names = file->names();
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.find(".hada_") != std::string::npos || name.find(".lokr_") != std::string::npos ||
           name.ends_with(".dora_scale");
  });
}

FactorFile read_factor_file(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  FactorFile result;
  result.metadata = file->metadata();
  for (const auto& name : file->names()) {
    const auto [module, suffix] = split_key(name);
    const std::string key(suffix.empty() ? suffix : suffix.substr(1));
    const bool known = model_of_module(module).has_value();
    if (known && kTuckerKeys.count(key) != 0) {
      throw FileError(path, fmt::format("{}: got a Tucker decomposition, expected factors of a matrix.\nHint: train "
                                        "with use_tucker=False.",
                                        name));
    }
    if (known && kFactorKeys.count(key) != 0) {
      result.modules[module].factors[key] = file->tensor(name);
    } else if (known && key == kDoraKey) {
      result.modules[module].dora_scale = file->tensor(name);
    } else if (known && key == "alpha") {
      result.modules[module].alpha = file->tensor(name).to(at::kDouble).item<double>();
    } else {
      result.unknown_keys.push_back(name);
    }
  }
  for (const auto& [name, set] : result.modules) {
    if (is_complete(set.factors)) continue;
    throw FileError(path, fmt::format("{}: got an incomplete module of {} factors, expected those of LoRA, LoHa or "
                                      "LoKr.",
                                      name, set.factors.size()));
  }
  if (result.modules.empty()) {
    throw FileError(path,
                    "modules: got none, expected names such as "
                    "lora_unet_joint_blocks_0_x_block_attn_qkv.lokr_w1.");
  }
  return result;
}

}  // namespace loraptor::network
