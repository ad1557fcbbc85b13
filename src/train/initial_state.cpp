#include "train/initial_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace loraptor::train {
namespace {

/// A state beyond the last step would train nothing and put its LoRA in the place of the finished one. One at the last
/// step may be of a run that ended between that step and its last file.
void expect_within(const LoopConfig& loop, const TrainState& state, const TrainPlan& plan) {
  const bool is_told = loop.auto_resume && state.events_done == kAfterEpoch;  // by is_finished
  if (state.step <= plan.max_steps || is_told) return;
  throw UsageError(fmt::format(
      "[--{}] nothing to train: got a state after step {}, expected one of at most the run's last step {}.\n"
      "Hint: raise --max_train_steps or --max_train_epochs, or resume an earlier state.",
      loop.auto_resume ? "auto_resume" : "resume", state.step, plan.max_steps));
}

void expect_steps_left(const char* flag, int64_t step, const TrainPlan& plan) {
  if (step < plan.max_steps) return;
  throw UsageError(
      fmt::format("[--{}] nothing to do: got a start after step {}, expected one before the last step {}.\n"
                  "Hint: raise --max_train_steps or --max_train_epochs.",
                  flag, step, plan.max_steps));
}

}  // namespace

TrainState initial_state(const LoopConfig& loop, const TrainPlan& plan, const std::optional<TrainState>& resumed,
                         bool counts_from_0) {
  TrainState state = resumed.value_or(TrainState{});
  counts_from_0 = counts_from_0 && !loop.skip_until_initial_step && !loop.auto_resume;
  const bool restarts_epoch = resumed && (state.is_step_only || counts_from_0);
  if (!loop.initial_step && !loop.initial_epoch && !restarts_epoch) {
    expect_within(loop, state, plan);
    return state;
  }
  if (loop.initial_step) {
    state.step = *loop.initial_step;
  } else if (loop.initial_epoch) {
    state.step = (*loop.initial_epoch - 1) * plan.steps_per_epoch;
  }
  expect_steps_left(loop.initial_step    ? "initial_step"
                    : loop.initial_epoch ? "initial_epoch"
                                         : "resume",
                    state.step, plan);
  const int64_t epochs_done = state.step / plan.steps_per_epoch;
  const int64_t steps_in_epoch = loop.skip_until_initial_step ? state.step % plan.steps_per_epoch : 0;
  state.epoch = epochs_done + 1;
  state.batch = std::min(steps_in_epoch * plan.accumulation, plan.batches_per_epoch);
  state.micro_step = epochs_done * plan.batches_per_epoch + state.batch;
  state.losses.clear();
  state.group_losses.clear();
  state.group_bands.clear();
  state.events_done = kAfterStep;
  if (counts_from_0) state.step = 0;
  return state;
}

}  // namespace loraptor::train
