// LoRAs attached to layers for inference: not trained, not merged.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "network/lora_file.h"
#include "network/network.h"

namespace loraptor::network {

/// Attaches each module to the layer it is named after; the frozen weights stay as they are, so the result equals a
/// training run's. Modules without a layer among `targets` are passed over.
///   modules   for example of concat_loras, where several files apply
///   path      names the LoRA in errors
/// Returns the names of the modules that were attached. Throws FileError for a module whose shape is not the layer's.
std::set<std::string> attach_modules(const std::map<std::string, LoraPair>& modules,
                                     const std::vector<TargetLinear>& targets, const std::filesystem::path& path);

}  // namespace loraptor::network
