// A state of the run in memory, to return to when the loss is lost (--on_nan rollback).
#pragma once

#include <map>
#include <string>

#include "train/run_parts.h"
#include "train/train_state.h"

namespace loraptor::train {

class Snapshot {
 public:
  /// Copies everything that a state on disk would hold.
  Snapshot(const RunParts& parts, TrainState state);

  /// Puts it all back, gradients of an unfinished step too. Returns the position.
  TrainState put_back(const RunParts& parts) const;

 private:
  TrainState state_;
  at::Tensor values_, gradients_, average_;
  std::map<std::string, at::Tensor> optimizer_, scaler_;
};

}  // namespace loraptor::train
