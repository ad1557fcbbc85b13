#include "network/lora_formats.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "network/key_names.h"
#include "network/peft_keys.h"

namespace loraptor::network {
namespace {

constexpr std::string_view kPeftPrefix = "base_model.model.";
constexpr std::string_view kTransformerPrefix = "transformer.";

/// alpha / rank of a PEFT adapter, as its configuration says. Ref: peft 0.15 LoraConfig (lora_alpha, r, use_rslora).
double peft_strength(const std::filesystem::path& path) {
  const auto config_path = path.parent_path() / "adapter_config.json";
  if (!std::filesystem::exists(config_path)) {
    log::warn("[{}] no adapter_config.json beside the file: got no lora_alpha, alpha = rank is taken.", path.string());
    return 1;
  }
  const auto config = nlohmann::json::parse(read_file(config_path), nullptr, /*allow_exceptions=*/false);
  const auto number = [&](const char* key) {
    if (config.is_object() && config.contains(key) && config[key].is_number()) return config[key].get<double>();
    throw FileError(config_path, fmt::format("{}: got no number, expected the adapter's.", key));
  };
  const double rank = number("r"), alpha = number("lora_alpha");
  if (!(rank > 0)) throw FileError(config_path, fmt::format("r: got {}, expected more than 0.", rank));
  return alpha / (config.value("use_rslora", false) ? std::sqrt(rank) : rank);
}

io::NamedTensors to_kohya(io::NamedTensors tensors, LoraFormat from, const std::filesystem::path& path) {
  double strength = 1;
  if (from == LoraFormat::peft) {
    strength = peft_strength(path);
    for (auto& [name, tensor] : tensors) {
      if (name.starts_with(kPeftPrefix)) name.replace(0, kPeftPrefix.size(), kTransformerPrefix);
    }
  }
  auto out = from_peft(tensors, path);
  for (auto& [name, tensor] : out) {
    const auto [module, suffix] = split_key(name);
    if (!model_of_module(module)) {
      throw FileError(path, fmt::format("{}: got a tensor that is no LoRA pair of SD3, expected names such as "
                                        "transformer.transformer_blocks.0.attn.to_q.lora_A.weight.",
                                        name));
    }
    if (suffix == kAlphaKey) tensor = tensor * strength;
  }
  return out;
}

}  // namespace

std::string format_name(LoraFormat format) {
  switch (format) {
    case LoraFormat::kohya: return "kohya";
    case LoraFormat::diffusers: return "diffusers";
    case LoraFormat::peft: return "peft";
  }
  return "";
}

LoraFormat detect_format(const io::NamedTensors& tensors, const std::filesystem::path& path) {
  const auto any = [&](const auto& test) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& item) { return test(item.first); });
  };
  if (any([](const std::string& name) { return model_of_module(split_key(name).module).has_value(); })) {
    return LoraFormat::kohya;
  }
  if (has_peft_names(tensors)) {
    const bool is_raw = any([](const std::string& name) { return name.starts_with(kPeftPrefix); });
    return is_raw ? LoraFormat::peft : LoraFormat::diffusers;
  }
  throw FileError(
      path, fmt::format("LoRA tensors: got none among {}{}, expected names of kohya, diffusers or PEFT.",
                        tensors.size(), tensors.empty() ? "" : fmt::format(" (first: {})", tensors.front().first)));
}

io::NamedTensors convert_format(const io::NamedTensors& tensors, LoraFormat to, const std::filesystem::path& path) {
  const LoraFormat from = detect_format(tensors, path);
  LORAPTOR_ASSERT(to != LoraFormat::peft);
  if (from == to) return tensors;
  if (from == LoraFormat::kohya) return to_peft(tensors, 1, path);
  const auto native = to_kohya(tensors, from, path);
  return to == LoraFormat::kohya ? native : to_peft(native, 1, path);
}

}  // namespace loraptor::network
