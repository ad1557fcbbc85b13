// The ways LoRA files of SD3 name their tensors, and the change from one to the other.
#pragma once

#include <filesystem>
#include <string>

#include "io/safetensors.h"

namespace loraptor::network {

enum class LoraFormat {
  kohya,      // lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight
  diffusers,  // transformer.transformer_blocks.0.attn.to_q.lora_A.weight
  peft,       // base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight, adapter_config.json beside the file
};

/// "kohya", "diffusers", "peft".
std::string format_name(LoraFormat format);

/// The format of a file with these tensors. Throws FileError if it is none of them.
LoraFormat detect_format(const io::NamedTensors& tensors, const std::filesystem::path& path);

/// The tensors in another format. To diffusers: network/peft_keys.h says how; to kohya likewise, with the strength
/// lora_alpha / r of `adapter_config.json` beside a PEFT file as alpha (1 per rank, with a warning, where there is no
/// such file). Products alpha / rank * up * down are equal before and after.
///   to   kohya or diffusers: PEFT files hold one model only and are not written
/// Throws FileError for modules that the other side has no name for, and for pairs that are not complete.
io::NamedTensors convert_format(const io::NamedTensors& tensors, LoraFormat to, const std::filesystem::path& path);

}  // namespace loraptor::network
