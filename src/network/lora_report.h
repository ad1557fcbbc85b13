// What a LoRA file holds, for people and programs.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"

namespace loraptor::network {

/// Whether a file with these names holds LoRA modules (of kohya, LyCORIS, diffusers or PEFT).
bool is_lora(const std::vector<std::string>& names);

/// Everything about a LoRA file:
///   format       "kohya", "diffusers", "peft"
///   modules, parameters, bytes, dtypes (name -> tensors), algorithms ("lora", "loha", "lokr + dora" … -> modules)
///   base_model   names of the published models it fits, by the shapes of its MMDiT modules; and what the metadata say
///   parts        list: part ("mmdit", "clip_l", "clip_g", "t5xxl"), modules, blocks, and per kind of layer: kind,
///   modules,
///                ranks, alphas, shape "in -> out", norm_mean, norm_max (Frobenius norms of what is added to the
///                weight; of DoRA, before the rescaling)
///   unknown      tensors that are no part of a module
///   hashes       sshs_model_hash and sshs_legacy_hash: stored, computed, match
///   metadata     as in the file
/// Throws FileError for a malformed file, or one without LoRA modules.
nlohmann::ordered_json lora_report(const std::filesystem::path& path);

}  // namespace loraptor::network
