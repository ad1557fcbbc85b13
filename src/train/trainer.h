// The training loop: the order of events, and nothing else.
#pragma once

#include "base/clock.h"
#include "base/signals.h"
#include "data/data_loader.h"
#include "data/dataset.h"
#include "dist/process_group.h"
#include "network/network.h"
#include "optim/grad_scaler.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer.h"
#include "train/checkpoint.h"
#include "train/divergence.h"
#include "train/encoded_inputs.h"
#include "train/loss_average.h"
#include "train/module_probe.h"
#include "train/observer.h"
#include "train/replay.h"
#include "train/sample_images.h"
#include "train/snapshot.h"
#include "train/step_meter.h"
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
  RunParts run;
  std::vector<optim::ParamGroup>& groups;
  const optim::LrSchedule& schedule;
  const CheckpointWriter& checkpoints;
  SampleImages* samples;          // null without a prompt file
  const Validation* validation;   // null without images set aside
  dist::ProcessGroup& processes;  // which share out the batches of each step
  const ModuleProbe& probe;
  const StopSignals& signals;
  Observers& observers;
};

class Trainer {
 public:
  /// state   where to begin: fresh, or from a resumed run
  Trainer(TrainerParts parts, TrainState state);

  /// Trains to the end and saves the final model.
  /// Throws Divergence if the loss is lost (with --on_nan rollback: after three returns to an earlier state), Stopped
  /// after a signal, when everything that is needed to go on is saved, and dist::LostProcess, likewise.
  void run();

 private:
  std::vector<data::BatchPlan> epoch_plans(int64_t epoch) const;
  void train_to_the_end();
  void train_epochs();
  void train_epoch();
  data::DataLoader make_loader() const;
  std::vector<double> micro_steps(data::DataLoader& loader);
  double micro_step(const data::Batch& batch);
  void optimizer_step();
  void limit_weight_norms();
  void finish_step();

  void run_events(Event until);
  void sample_after_step();
  void save_after_step();
  void validate_after_step();
  void validate_after_epoch();
  void log_epoch();
  void save_after_epoch();
  void sample_after_epoch();

  bool sample(const std::string& moment);
  void validate(bool is_epoch_end);
  void save(const SaveDecision& decision);
  void save_for_recovery_if_due();
  std::string save_after_loss(const dist::LostProcess& lost);
  void stop_if_asked();

  TrainState full_state() const;
  void begin_at(const TrainState& state);
  LostPlace lost_place(std::vector<std::string> stems, std::string module) const;
  void take_snapshot_if_due();
  void roll_back(const Divergence& divergence);

  TrainerParts parts_;
  TrainState state_;
  TrainState whole_step_;  // the state after the last whole step, where all processes have the same
  LossAverage average_;
  LossWatch watch_;
  std::optional<Snapshot> snapshot_;  // with --on_nan rollback
  std::string last_state_;            // folder of the state saved last
  report::StepRecord record_;         // of the step being made
  StepMeter meter_;
  Stopwatch since_state_;
};

}  // namespace loraptor::train
