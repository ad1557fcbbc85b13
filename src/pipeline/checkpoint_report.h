// What a checkpoint file holds, for people and programs.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace loraptor::pipeline {

/// Everything about a checkpoint from its header; no weights are read:
///   bytes, tensors
///   parts      list: part ("mmdit", "vae", "clip_l", "clip_g", "t5xxl"), tensors, parameters, bytes, dtypes
///              (name -> tensors), layout ("original" or "diffusers"); for the MMDiT also variant, depth, width,
///              qk_norm, dual_blocks, position_side
///   other      number of tensors of no part, and the first of them
///   metadata   as in the file
/// Throws FileError for a malformed file.
nlohmann::ordered_json checkpoint_report(const std::filesystem::path& path);

}  // namespace loraptor::pipeline
