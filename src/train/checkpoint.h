// Writes LoRA files and states of a run.
//
// A state is a folder: model.safetensors (LoRA, float32), optimizer.safetensors, train_state.json, and DONE, written
// last (docs/formats.md). It is made under a temporary name and renamed, so a folder of the final name is complete.
#pragma once

#include <filesystem>
#include <future>

#include "io/safetensors.h"
#include "network/network.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "train/checkpoint_policy.h"
#include "train/precision.h"
#include "train/train_state.h"

namespace loraptor::train {

/// What a state holds besides the LoRA; references to the living objects.
struct StateParts {
  const network::Network& network;
  optim::Optimizer& optimizer;
  const optim::GradScaler& scaler;
};

class CheckpointWriter {
 public:
  /// metadata   of the run; a future because the hashes of big model files take a while and are first needed here
  CheckpointWriter(const TrainConfig& config, const Precision& precision, std::string model_type,
                   std::shared_future<io::Metadata> metadata);

  /// Carries out a decision: writes the model (at the optimizer's evaluation point) and the state (at its training
  /// point, where the run goes on), then removes what it names.
  ///   epoch   of the metadata, from 1
  void write(const SaveDecision& decision, const StateParts& parts, const TrainState& state, int64_t epoch) const;

  std::filesystem::path folder() const;

 private:
  void write_model(const std::filesystem::path& path, const network::Network& network, int64_t step,
                   int64_t epoch) const;
  void write_state(const std::filesystem::path& folder, const StateParts& parts, const TrainState& state) const;

  const TrainConfig& config_;
  at::ScalarType dtype_;
  std::string model_type_;
  std::shared_future<io::Metadata> metadata_;
};

}  // namespace loraptor::train
