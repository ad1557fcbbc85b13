#include "train/initial_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace loraptor::train {
namespace {

void expect_steps_left(const char* flag, int64_t step, const TrainPlan& plan) {
  if (step < plan.max_steps) return;
  throw UsageError(
      fmt::format("[--{}] nothing to do: got a start after step {}, expected one before the last step {}.\n"
                  "Hint: raise --max_train_steps or --max_train_epochs.",
                  flag, step, plan.max_steps));
}

}  // namespace

TrainState initial_state(const LoopConfig& loop, const TrainPlan& plan, const std::optional<TrainState>& resumed) {
  TrainState state = resumed.value_or(TrainState{});
  if (!loop.initial_step && !loop.initial_epoch) {
    // A run may also have ended between its last step and its last file.
    if (state.events_done == kAfterEpoch && !loop.auto_resume) expect_steps_left("resume", state.step, plan);
    return state;
  }
  state.step = loop.initial_step ? *loop.initial_step : (*loop.initial_epoch - 1) * plan.steps_per_epoch;
  expect_steps_left(loop.initial_step ? "initial_step" : "initial_epoch", state.step, plan);
  const int64_t epochs_done = state.step / plan.steps_per_epoch;
  const int64_t steps_in_epoch = loop.skip_until_initial_step ? state.step % plan.steps_per_epoch : 0;
  state.epoch = epochs_done + 1;
  state.batch = std::min(steps_in_epoch * plan.accumulation, plan.batches_per_epoch);
  state.micro_step = epochs_done * plan.batches_per_epoch + state.batch;
  state.losses.clear();
  state.group_losses.clear();
  state.events_done = kAfterStep;
  return state;
}

}  // namespace loraptor::train
