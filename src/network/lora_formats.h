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

/// The tensors in another format: network/peft_keys.h says how, and where the strength of the pairs comes from.
/// Products alpha / rank * up * down are equal before and after.
///   to         kohya or diffusers: PEFT files hold one model only and are not written
///   path       of the file; its folder may hold the configuration of PEFT
///   metadata   of the file
/// Throws FileError for modules that the other side has no name for, and as from_peft and to_peft.
io::NamedTensors convert_format(const io::NamedTensors& tensors, LoraFormat to, const std::filesystem::path& path,
                                const io::Metadata& metadata = {});

}  // namespace loraptor::network
