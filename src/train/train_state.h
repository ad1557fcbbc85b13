// Where a run stands: everything that is not weights or optimizer state.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace loraptor::train {

/// What follows an optimizer step, and after them what follows the last step of an epoch, in this order. A state
/// remembers how far it got, so that a resumed run leaves nothing out and does nothing twice.
enum Event : int64_t {
  kStepSamples,
  kStepSave,
  kStepValidation,
  kAfterStep,  // all of a step is done
  kEpochValidation = kAfterStep,
  kEpochLog,
  kEpochSave,
  kEpochSamples,
  kAfterEpoch,  // all of an epoch is done
};

struct TrainState {
  int64_t step = 0;        // optimizer steps done (counted, also skipped ones)
  int64_t updates = 0;     // optimizer steps that really happened: the index of the learning-rate schedule
  int64_t epoch = 1;       // the epoch being trained, from 1
  int64_t batch = 0;       // batches of this epoch done
  int64_t micro_step = 0;  // batches of the whole run done
  uint64_t seed = 0;
  std::vector<double> losses;  // of the loss average

  int64_t events_done = kAfterStep;   // the Event that comes next
  std::vector<double> group_losses;   // losses of the micro-steps since the last optimizer step
  std::vector<double> group_bands;    // the same by timestep, see TimestepBands::numbers
  std::vector<double> recent_losses;  // of the last steps, see LossWatch
  int64_t far_losses = 0;             // how many steps in a row were far above them
  int64_t rollbacks = 0;              // returns to an earlier state; each halves the learning rates

  /// Of another trainer's state, which tells nothing else; never saved.
  bool is_step_only = false;
};

nlohmann::json to_json(const TrainState& state);

/// Members that older files lack have their defaults.
/// Throws UsageError naming `source` if a member is missing or of a wrong type.
TrainState train_state_from_json(const nlohmann::json& json, const std::string& source);

}  // namespace loraptor::train
