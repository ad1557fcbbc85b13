// LoRAs written into the weights of a checkpoint file, a tensor at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "models/checkpoint_keys.h"
#include "network/lora_concat.h"
#include "pipeline/checkpoint_tensors.h"

namespace loraptor::pipeline {

struct CheckpointMerge {
  std::filesystem::path from, to;
  std::vector<models::Part> parts;               // which parts of the file the LoRAs may change
  bool embedded = true;                          // false: a file of one encoder alone
  at::ScalarType precision = at::kFloat;         // products and sums are computed in it
  std::optional<at::ScalarType> save_precision;  // of all float tensors; unset: each keeps its own
  bool keep_metadata = true;                     // false: the new file has none
  bool parts_only = false;                       // leave out what belongs to none of `parts`
  bool may_stay = false;                         // no error if no module has a layer in the file
};

struct MergeReport {
  int64_t changed = 0;               // tensors of the file that were changed
  std::vector<std::string> modules;  // LoRA modules that found their layer, sorted
};

/// Writes the file `to`: every weight plus the sum over all LoRAs of ratio * alpha / rank * up * down (LoHa, LoKr and
/// DoRA: network::weight_change, in the order of the files), rounded once to the weight's own dtype (or
/// save_precision). Weights of scaled fp8 get a new scale. All other tensors are copied. Throws FileError for a layer
/// and a module of different shapes, and if no LoRA module has a layer in the file.
MergeReport merge_into_checkpoint(const CheckpointMerge& job, const std::vector<network::WeightedLora>& loras,
                                  const io::WriteProgress& progress);

}  // namespace loraptor::pipeline
