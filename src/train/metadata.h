// The ss_* metadata that a LoRA file carries: how it was trained.
//
// Ref: sd-scripts@48d368f train_network.py:train (metadata), library/train_util.py. docs/formats.md lists every key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "io/safetensors.h"
#include "train/train_config.h"
#include "train/train_plan.h"

namespace loraptor::train {

/// What is known once the run is set up.
struct RunFacts {
  std::string model_type;             // "medium", "5-medium", "5-large"
  std::string optimizer_description;  // class and arguments as Python prints them
  nlohmann::ordered_json dataset;     // ss_* keys about the data set; structured values are written as JSON texts
  uint64_t seed = 0;
  int64_t session_id = 0;
  double started_at = 0;  // unix time
};

/// Metadata that stay the same over the run. Reads the model files for their hashes.
io::Metadata training_metadata(const TrainConfig& config, const TrainPlan& plan, const RunFacts& facts);

/// What remains with --no_metadata.
io::Metadata minimal_metadata(const io::Metadata& all);

}  // namespace loraptor::train
