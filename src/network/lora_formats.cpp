#include "network/lora_formats.h"

#include <algorithm>

#include "base/error.h"
#include "network/key_names.h"
#include "network/peft_keys.h"

namespace loraptor::network {
namespace {

io::NamedTensors to_kohya(const io::NamedTensors& tensors, const std::filesystem::path& path,
                          const io::Metadata& metadata) {
  auto out = from_peft(tensors, path, metadata);
  for (const auto& [name, tensor] : out) {
    if (model_of_module(split_key(name).module)) continue;
    throw FileError(path, fmt::format("{}: got a tensor that is no LoRA pair of SD3, expected names such as "
                                      "transformer.transformer_blocks.0.attn.to_q.lora_A.weight.",
                                      name));
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

io::NamedTensors convert_format(const io::NamedTensors& tensors, LoraFormat to, const std::filesystem::path& path,
                                const io::Metadata& metadata) {
  const LoraFormat from = detect_format(tensors, path);
  LORAPTOR_ASSERT(to != LoraFormat::peft);
  if (from == to) return tensors;
  if (from == LoraFormat::kohya) return to_peft(tensors, 1, path);
  const auto native = to_kohya(tensors, path, metadata);
  return to == LoraFormat::kohya ? native : to_peft(native, 1, path);
}

}  // namespace loraptor::network
