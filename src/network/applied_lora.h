// LoRAs attached to layers for inference: not trained, not merged.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "network/lora_concat.h"
#include "network/network.h"

namespace loraptor::network {

/// Attaches the modules of all files to the layers they are named after; the frozen weights stay as they are, so the
/// result equals a training run's. Several files act one after the other, as merging them in this order does. Modules
/// without a layer among `targets` are passed over.
/// Returns the names of the modules that were attached. Throws FileError for a module whose shape is not the layer's.
std::set<std::string> attach_loras(const std::vector<WeightedLora>& loras, const std::vector<TargetLinear>& targets);

}  // namespace loraptor::network
