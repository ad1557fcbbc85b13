// Adding LoRA files to frozen weights, before training or for good.
#pragma once

#include <filesystem>
#include <vector>

#include "network/network.h"

namespace loraptor::network {

/// Adds multiplier * alpha / rank * up * down of every module in the file to the weight it names: computed in float32,
/// stored in the weight's own dtype; the patch embedder's kernels are multiplied as matrices. Logs modules that none of
/// the targets match. Modules of models that no target belongs to are passed over: models may be merged one after the
/// other, as they are loaded. Returns how many weights changed.
/// Throws FileError for a malformed file, a shape that does not fit, or if nothing in it matches the targets.
/// Ref: sd-scripts@48d368f networks/lora_flux.py:LoRAModule.merge_to.
int64_t merge_lora_file(const std::filesystem::path& path, double multiplier, const std::vector<TargetLinear>& targets);

/// Merges all of `config.base_weights` with their multipliers (1 where none is given). Throws UsageError if there are
/// more multipliers than files.
void merge_base_weights(const NetworkConfig& config, const std::vector<TargetLinear>& targets);

}  // namespace loraptor::network
