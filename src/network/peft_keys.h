// LoRA tensors under the names of diffusers and PEFT, and back.
//
// diffusers cuts q, k and v apart, orders the last modulations (scale, shift) where the checkpoint has (shift, scale),
// and ignores alpha in files of SD3, so the strength is folded into lora_B.
#pragma once

#include <filesystem>
#include <string_view>

#include "io/safetensors.h"

namespace loraptor::network {

/// What names of PEFT begin with.
inline constexpr std::string_view kPeftPrefix = "base_model.model.";

/// True if any name ends with ".lora_A.weight".
bool has_peft_names(const io::NamedTensors& tensors);

/// Renames a file's tensors to "transformer.….lora_A.weight" (= lora_down) and ".lora_B.weight"
/// (= multiplier * alpha / rank * lora_up, float32), "text_encoder.…" for the encoders. q/k/v modules become three
/// pairs that share lora_A.
///   tensors   complete modules: lora_down, lora_up and alpha (without it: the rank)
///   path      names the file in errors
/// Throws FileError for names that diffusers has no place for, for modules with a missing half, and as native_modules.
io::NamedTensors to_peft(const io::NamedTensors& tensors, double multiplier, const std::filesystem::path& path);

/// The way back, with names of PEFT ("base_model.model.…") too. q, k and v with equal lora_A become one pair of that
/// rank; with different ones a pair of the summed rank with a block-diagonal lora_up. Names that are no PEFT pair of
/// SD3 are passed on unchanged.
/// The strength of a pair becomes alpha / rank; where those of q, k and v differ they are folded into lora_up. It is:
///   `.alpha` beside the pair   alpha / rank
///   "base_model.model.…"       what adapter_config.json beside the file says; 1, with a warning, without it
///   else                       what `lora_adapter_metadata` of the metadata says; 1 without it
/// Throws FileError for a pair with a missing half, parts that do not fit together, tensors of a layer beside its pair
/// (DoRA, biases), without which it would act otherwise, and a malformed configuration.
io::NamedTensors from_peft(const io::NamedTensors& tensors, const std::filesystem::path& path,
                           const io::Metadata& metadata = {});

}  // namespace loraptor::network
