// A LoRA out of the difference of two checkpoints.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <string>

#include "models/checkpoint_keys.h"
#include "network/lora_file.h"
#include "network/low_rank.h"

namespace loraptor::pipeline {

struct LoraExtract {
  std::filesystem::path original, tuned;
  int64_t dim = 4;            // rank; at most the shorter side of a layer
  double clamp_quantile = 1;  // values beyond this quantile of each module are clamped; 1: none
  double min_diff = 0;        // layers whose greatest difference is not above it are left out
  network::SvdMethod method = network::SvdMethod::automatic;
  at::Device device = at::kCPU;  // where the decompositions are computed
};

/// Called after each layer: how many are done, of how many.
using ExtractProgress = std::function<void(int64_t done, int64_t total)>;

/// The modules whose products are nearest to `tuned - original`, for all layers that a LoRA may have (blocks of the
/// MMDiT, its embedders, and the text encoders where both files hold them). Layers that do not differ are left out.
/// alpha = rank. Two layers are in memory at a time; the files may have different layouts and dtypes.
/// Throws FileError if a layer is missing in `tuned` or has another shape there, if the files have no layer of SD3 in
/// common, and if they do not differ. Ref: sd-scripts@48d368f networks/flux_extract_lora.py (flags, clamping).
std::map<std::string, network::LoraPair> extract_lora(const LoraExtract& job, const ExtractProgress& progress);

}  // namespace loraptor::pipeline
