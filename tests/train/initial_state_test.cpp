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

TEST(InitialState, AStateOfAFinishedRunIsRefusedAndOneBeforeItsLastFileIsNot) {
  TrainState resumed;
  resumed.step = 10;
  resumed.events_done = kAfterEpoch;
  EXPECT_THROW(initial_state(loop({}, {}, false), plan(), resumed), UsageError);
  resumed.events_done = kAfterStep;
  EXPECT_EQ(initial_state(loop({}, {}, false), plan(), resumed).step, 10);
}

TEST(InitialState, AStartAtTheEndIsRefused) {
  EXPECT_THROW(initial_state(loop(10, {}, true), plan(), std::nullopt), UsageError);
  EXPECT_THROW(initial_state(loop({}, 5, false), plan(), std::nullopt), UsageError);
}

}  // namespace
}  // namespace loraptor::train
