// The training loop: the order of events, and nothing else.
#pragma once

#include "base/clock.h"
#include "data/data_loader.h"
#include "data/dataset.h"
#include "network/network.h"
#include "optim/grad_scaler.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer.h"
#include "train/checkpoint.h"
#include "train/encoded_inputs.h"
#include "train/loss_average.h"
#include "train/observer.h"
#include "train/replay.h"
#include "train/sample_images.h"
#include "train/train_plan.h"
#include "train/train_state.h"
#include "train/train_step.h"
#include "train/validation.h"

namespace loraptor::train {

/// What the loop works with; train/session.cpp builds all of it.
struct TrainerParts {
  const TrainConfig& config;
  const TrainPlan& plan;
  const data::Dataset& dataset;
  const Replay* replay;  // null in an ordinary run
  EncodedInputs& inputs;
  const StepContext& step;
  network::Network& network;
  std::vector<optim::ParamGroup>& groups;
  optim::Optimizer& optimizer;
  const optim::LrSchedule& schedule;
  optim::GradScaler& scaler;
  const CheckpointWriter& checkpoints;
  SampleImages* samples;         // null without a prompt file
  const Validation* validation;  // null without images set aside
  Observers& observers;
};

class Trainer {
 public:
  /// state   where to begin: fresh, or from a resumed run
  Trainer(TrainerParts parts, TrainState state);

  /// Trains to the end and saves the final model. Throws RunError if the loss stops being a number.
  void run();

 private:
  std::vector<data::BatchPlan> epoch_plans(int64_t epoch) const;
  void train_epoch();
  double micro_step(const data::Batch& batch);
  void optimizer_step();
  void limit_weight_norms();
  void report_step();
  void after_step();
  void after_epoch();
  void save(const SaveDecision& decision);
  void sample(const std::string& moment);
  void validate(bool is_epoch_end);

  TrainerParts parts_;
  TrainState state_;
  LossAverage average_;
  std::vector<double> group_losses_;  // losses of the micro-steps since the last optimizer step
  report::StepRecord record_;         // of the step being made
  Stopwatch since_step_;
};

}  // namespace loraptor::train
