// Which of the SD3 family a checkpoint is, read from the shapes of its tensors.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "models/checkpoint_reader.h"

namespace loraptor::models {

/// The dimensions in which the models differ. Heads have 64 channels, latents 16, MLPs are four times as wide.
struct Sd3Variant {
  int64_t depth = 0;              // joint blocks
  int64_t width = 0;              // D
  int64_t heads = 0;              // D / 64
  int64_t patch = 0;              // latent cells a side of an image token
  int64_t pos_side = 0;           // cells a side of the stored position table
  int64_t pooled_width = 0;       // channels of the pooled text embedding
  int64_t context_width = 0;      // channels of a text token
  bool qk_norm = false;           // queries and keys are RMS-normalised
  std::set<int64_t> dual_blocks;  // blocks whose image side has a second attention

  /// "medium", "5-medium" or "5-large", as metadata names it.
  /// Ref: sd-scripts@48d368f library/sd3_utils.py:analyze_state_dict_state.
  std::string type_name() const;
  /// "SD3 Medium", "SD3.5 Medium" or "SD3.5 Large", as people name it.
  std::string title() const;
};

constexpr int64_t kHeadSize = 64;
constexpr int64_t kLatentChannels = 16;
constexpr int64_t kTimestepChannels = 256;
constexpr int64_t kMlpRatio = 4;

/// Throws FileError naming the tensors if this is no SD3 MMDiT.
Sd3Variant detect_variant(const PartReader& mmdit);

}  // namespace loraptor::models
