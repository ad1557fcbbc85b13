// Writes LoRA files and states of a run.
//
// A state is a folder: model.safetensors (LoRA, float32), optimizer.safetensors, train_state.json, and DONE, written
// last, with the checksums of the others (docs/formats.md). A folder of the final name is complete at every moment.
#pragma once

#include <filesystem>
#include <future>

#include "io/safetensors.h"
#include "train/checkpoint_policy.h"
#include "train/precision.h"
#include "train/run_identity.h"
#include "train/run_parts.h"
#include "train/train_state.h"

namespace loraptor::train {

/// What files say about the run as a whole.
struct CheckpointFacts {
  std::string model_type;  // as in metadata: "5-medium"
  RunIdentity identity;    // of the states
  RunIdentity data;        // likewise
  /// Of the LoRA; a future because the hashes of big model files take a while and are first needed here.
  std::shared_future<io::Metadata> metadata;
};

class CheckpointWriter {
 public:
  CheckpointWriter(const TrainConfig& config, const Precision& precision, CheckpointFacts facts);

  /// Carries out a decision: writes the model (at the optimizer's evaluation point), with --ema_decay its average
  /// beside it, and the state (its LoRA at the evaluation point too; from its training point the run goes on), then
  /// removes what it names.
  ///   epoch   of the metadata, from 1
  /// Throws FileError; the files of before are still there then.
  void write(const SaveDecision& decision, const RunParts& parts, const TrainState& state, int64_t epoch) const;

  std::filesystem::path folder() const;

 private:
  void write_model(const std::filesystem::path& path, const network::Network& network, int64_t step,
                   int64_t epoch) const;
  void write_state(const std::filesystem::path& folder, const RunParts& parts, const TrainState& state) const;

  const TrainConfig& config_;
  at::ScalarType dtype_;
  CheckpointFacts facts_;
};

}  // namespace loraptor::train
