// LoRA tensors under the names of diffusers and PEFT, and back.
//
// diffusers cuts q, k and v apart, orders the last modulations (scale, shift) where the checkpoint has (shift, scale),
// and ignores alpha, so the strength is folded into lora_B.
#pragma once

#include <filesystem>

#include "io/safetensors.h"

namespace loraptor::network {

/// True if any name ends with ".lora_A.weight".
bool has_peft_names(const io::NamedTensors& tensors);

/// Renames a file's tensors to "transformer.….lora_A.weight" (= lora_down) and ".lora_B.weight"
/// (= multiplier * alpha / rank * lora_up, float32), "text_encoder.…" for the encoders. q/k/v modules become three
/// pairs that share lora_A.
///   tensors   complete modules: lora_down, lora_up, alpha
///   path      names the file in errors
/// Throws FileError for names that diffusers has no place for and for modules with a missing tensor.
io::NamedTensors to_peft(const io::NamedTensors& tensors, double multiplier, const std::filesystem::path& path);

/// The way back; alpha = rank. q, k and v with equal lora_A become one pair of that rank; with different ones a pair of
/// the summed rank with a block-diagonal lora_up. Names that are no PEFT pair of SD3 are passed on unchanged.
/// Throws FileError for a pair with a missing half or parts that do not fit together.
io::NamedTensors from_peft(const io::NamedTensors& tensors, const std::filesystem::path& path);

}  // namespace loraptor::network
