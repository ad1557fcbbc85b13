// Names of LoRA tensors in files and of groups in logs, as programs that read SD3 LoRA files expect them.
//
// The only place that knows `lora_unet_…`, `lora_te1_…` and the suffixes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "network/network.h"

namespace loraptor::network {

/// "lora_te1", "lora_te2", "lora_te3", "lora_unet".
std::string_view module_prefix(TargetModel model);

/// Name of a module in files: the prefix and the layer's path with every '.' replaced by '_'.
/// E.g. (mmdit, "joint_blocks.0.x_block.attn.qkv") -> "lora_unet_joint_blocks_0_x_block_attn_qkv".
std::string module_name(TargetModel model, std::string_view path);

/// Which model a module name belongs to, or nullopt for a name with none of the prefixes.
std::optional<TargetModel> model_of_module(std::string_view name);

inline constexpr std::string_view kDownKey = ".lora_down.weight";
inline constexpr std::string_view kUpKey = ".lora_up.weight";
inline constexpr std::string_view kAlphaKey = ".alpha";

/// A tensor name cut at its first '.': module and rest ("lora_down.weight", "alpha", …).
struct ModuleKey {
  std::string module;
  std::string_view suffix;  // with the '.'
};
ModuleKey split_key(std::string_view key);

/// Name of a parameter group in logs and TensorBoard: "textencoder 1", "textencoder 2", "textencoder 3", "unet";
/// `plus` appends " plus" (the LoRA+ half).
std::string group_name(TargetModel model, bool plus);

}  // namespace loraptor::network
