// Where a run begins.
#include "train/initial_state.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace loraptor::train {
namespace {

/// Seven batches an epoch in groups of three: three steps an epoch, ten steps in all.
TrainPlan plan() {
  TrainPlan plan{};
  plan.batches_per_epoch = 7;
  plan.accumulation = 3;
  plan.steps_per_epoch = 3;
  plan.max_steps = 10;
  plan.epochs = 4;
  return plan;
}

LoopConfig loop(std::optional<int64_t> step, std::optional<int64_t> epoch, bool skip) {
  LoopConfig loop;
  loop.initial_step = step;
  loop.initial_epoch = epoch;
  loop.skip_until_initial_step = skip;
  return loop;
}

TEST(InitialState, WithoutAnyWordARunBeginsAtItsStart) {
  const auto state = initial_state(loop({}, {}, false), plan(), std::nullopt);
  EXPECT_EQ(state.step, 0);
  EXPECT_EQ(state.epoch, 1);
}

TEST(InitialState, AResumedStateStaysAsItIs) {
  TrainState resumed;
  resumed.step = 5;
  resumed.batch = 6;
  resumed.losses = {0.5};
  const auto state = initial_state(loop({}, {}, true), plan(), resumed);
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.batch, 6);
  EXPECT_EQ(state.losses.size(), 1u);
}

TEST(InitialState, SkippingStartsAtTheVeryBatch) {
  const auto state = initial_state(loop(5, {}, true), plan(), std::nullopt);
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.epoch, 2);
  EXPECT_EQ(state.batch, 6);
  EXPECT_EQ(state.micro_step, 13);
}

TEST(InitialState, WithoutSkippingTheEpochIsTrainedFromItsBeginning) {
  const auto state = initial_state(loop(5, {}, false), plan(), std::nullopt);
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.epoch, 2);
  EXPECT_EQ(state.batch, 0);
}

TEST(InitialState, AnEpochStandsForItsFirstStepAndTheStepWins) {
  EXPECT_EQ(initial_state(loop({}, 3, true), plan(), std::nullopt).step, 6);
  EXPECT_EQ(initial_state(loop({}, 3, true), plan(), std::nullopt).epoch, 3);
  EXPECT_EQ(initial_state(loop(2, 3, true), plan(), std::nullopt).step, 2);
}

TEST(InitialState, TheScheduleFollowsTheResumedStateOnly) {
  TrainState resumed;
  resumed.step = resumed.updates = 4;
  EXPECT_EQ(initial_state(loop(5, {}, true), plan(), resumed).updates, 4);
  EXPECT_EQ(initial_state(loop(5, {}, true), plan(), std::nullopt).updates, 0);
}

TEST(InitialState, AStateBeyondTheEndIsRefusedAndOneAtTheEndIsNot) {
  TrainState resumed;
  for (const int64_t events : {int64_t{kStepValidation}, int64_t{kAfterStep}, int64_t{kAfterEpoch}}) {
    resumed.events_done = events;
    resumed.step = 10;
    EXPECT_EQ(initial_state(loop({}, {}, false), plan(), resumed).step, 10);
    resumed.step = 11;
    EXPECT_THROW(initial_state(loop({}, {}, false), plan(), resumed), UsageError);
  }
}

TEST(InitialState, AStateThatTellsOnlyItsStepBeginsWithItsEpoch) {
  TrainState resumed;
  resumed.is_step_only = true;
  resumed.step = resumed.updates = 5;
  const auto state = initial_state(loop({}, {}, false), plan(), resumed);
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.updates, 5);
  EXPECT_EQ(state.epoch, 2);
  EXPECT_EQ(state.batch, 0);
  EXPECT_EQ(initial_state(loop({}, {}, true), plan(), resumed).batch, 6);
  EXPECT_EQ(initial_state(loop(2, {}, false), plan(), resumed).step, 2);
  resumed.step = 10;
  EXPECT_THROW(initial_state(loop({}, {}, false), plan(), resumed), UsageError);
}

TEST(InitialState, AnotherStartDropsWhatWasSummedOfAnUnfinishedStep) {
  TrainState resumed;
  resumed.step = 4;
  resumed.group_losses = {0.5};
  resumed.group_bands = {0.5, 0, 0, 0, 1, 0, 0, 0};
  const auto state = initial_state(loop(5, {}, true), plan(), resumed);
  EXPECT_TRUE(state.group_losses.empty());
  EXPECT_TRUE(state.group_bands.empty());
}

TEST(InitialState, StepsMayCountFrom0AsInTheReference) {
  TrainState resumed;
  resumed.step = resumed.updates = 5;
  resumed.epoch = 2;
  resumed.batch = 6;
  resumed.losses = {0.5};
  const auto start = [&](LoopConfig config) { return initial_state(config, plan(), resumed, /*counts_from_0=*/true); };
  const auto state = start(loop({}, {}, false));
  EXPECT_EQ(state.step, 0);
  EXPECT_EQ(state.epoch, 2);
  EXPECT_EQ(state.batch, 0);
  EXPECT_EQ(state.micro_step, 7);  // the draws go on
  EXPECT_EQ(state.updates, 5);     // so does the schedule
  EXPECT_EQ(start(loop(8, {}, false)).step, 0);
  EXPECT_EQ(start(loop(8, {}, false)).epoch, 3);
  EXPECT_EQ(start(loop({}, {}, true)).step, 5);
  LoopConfig automatic = loop({}, {}, false);
  automatic.auto_resume = true;
  EXPECT_EQ(start(automatic).batch, 6);
  EXPECT_EQ(initial_state(loop({}, {}, false), plan(), std::nullopt, true).epoch, 1);
}

TEST(InitialState, AStartAtTheEndIsRefused) {
  EXPECT_THROW(initial_state(loop(10, {}, true), plan(), std::nullopt), UsageError);
  EXPECT_THROW(initial_state(loop({}, 5, false), plan(), std::nullopt), UsageError);
}

}  // namespace
}  // namespace loraptor::train
