#include "network/factor_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "io/safetensors.h"
#include "network/factor_module.h"
#include "network/key_names.h"
#include "network/lora_file.h"
#include "tensor/dtype.h"

namespace loraptor::network {
namespace {

/// Keys of factors; what a module must have follows in `is_complete`.
const std::set<std::string> kFactorKeys{"lora_down.weight", "lora_up.weight", "hada_w1_a", "hada_w1_b",
                                        "hada_w2_a",        "hada_w2_b",      "lokr_w1",   "lokr_w1_a",
                                        "lokr_w1_b",        "lokr_w2",        "lokr_w2_a", "lokr_w2_b"};

bool is_complete(const Factors& factors) {
  const auto all = [&](std::initializer_list<const char*> keys) {
    return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return factors.count(key) != 0; });
  };
  if (all({"lora_down.weight", "lora_up.weight"}) || all({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})) {
    return true;
  }
  return (all({"lokr_w1"}) || all({"lokr_w1_a", "lokr_w1_b"})) && (all({"lokr_w2"}) || all({"lokr_w2_a", "lokr_w2_b"}));
}

std::string shapes_text(const FactorSet& set) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : set.factors) {
    parts.push_back(fmt::format("{} [{}]", key, fmt::join(value.sizes(), ",")));
  }
  if (set.is_dora()) parts.push_back(fmt::format("{} [{}]", kDoraKey, fmt::join(set.dora_scale.sizes(), ",")));
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// A factor as a matrix: LyCORIS keeps those of kernels with all their axes.
at::Tensor as_matrix(const at::Tensor& value, const std::string& name, const std::filesystem::path& path) {
  if (value.dim() < 2 || value.numel() == 0 || !value.is_floating_point()) {
    throw FileError(path, fmt::format("{}: got shape [{}] and dtype {}, expected a matrix of floats.", name,
                                      fmt::join(value.sizes(), ","), tensor::safetensors_name(value.scalar_type())));
  }
  return value.flatten(1);
}

/// Whether the factors of a complete module have the shapes that their formula needs.
bool fit_together(const FactorSet& set) {
  const auto& factors = set.factors;
  const auto can_multiply = [&](const char* left, const char* right) {
    const auto a = factors.find(left), b = factors.find(right);
    return a == factors.end() || b == factors.end() || a->second.size(1) == b->second.size(0);
  };
  const bool products = can_multiply("lora_up.weight", "lora_down.weight") && can_multiply("hada_w1_a", "hada_w1_b") &&
                        can_multiply("hada_w2_a", "hada_w2_b") && can_multiply("lokr_w1_a", "lokr_w1_b") &&
                        can_multiply("lokr_w2_a", "lokr_w2_b");
  if (!products) return false;
  if (factors.count("hada_w1_a") != 0) {
    const bool equal_sides = factors.at("hada_w1_a").size(0) == factors.at("hada_w2_a").size(0) &&
                             factors.at("hada_w1_b").size(1) == factors.at("hada_w2_b").size(1);
    if (!equal_sides) return false;
  }
  if (!set.is_dora()) return true;
  const auto [out, in] = layer_shape(factors);
  const auto scale = set.dora_scale.sizes();
  return scale == at::IntArrayRef({out, 1}) || scale == at::IntArrayRef({1, in});
}

void check_set(const FactorSet& set, const std::string& name, const std::filesystem::path& path) {
  if (!is_complete(set.factors)) {
    throw FileError(path, fmt::format("{}: got an incomplete module of {} factors, expected those of LoRA, LoHa or "
                                      "LoKr.",
                                      name, set.factors.size()));
  }
  if (!fit_together(set)) {
    throw FileError(path, fmt::format("{}: got {}, expected shapes that fit together (dora_scale: one row or one "
                                      "column of the layer's).",
                                      name, shapes_text(set)));
  }
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
    if (known && kFactorKeys.count(key) != 0) {
      result.modules[module].factors[key] = as_matrix(file->tensor(name), name, path);
    } else if (known && key == kDoraKey) {
      result.modules[module].dora_scale = as_matrix(file->tensor(name), name, path);
    } else if (known && key == "alpha") {
      result.modules[module].alpha = alpha_value(file->tensor(name), name, path);
    } else {
      result.unknown_keys.push_back(name);
    }
  }
  for (const auto& name : result.unknown_keys) {
    if (result.modules.count(split_key(name).module) != 0) throw foreign_part(path, name);
  }
  for (const auto& [name, set] : result.modules) check_set(set, name, path);
  if (result.modules.empty()) {
    throw FileError(path,
                    "modules: got none, expected names such as "
                    "lora_unet_joint_blocks_0_x_block_attn_qkv.lokr_w1.");
  }
  return result;
}

}  // namespace loraptor::network
