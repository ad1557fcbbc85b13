// Steps and epochs follow from the data set's size.
#include "train/train_plan.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace loraptor::train {
namespace {

TEST(TrainPlan, EpochsDecideTheSteps) {
  TrainConfig config;
  config.loop.max_train_epochs = 3;
  config.loop.gradient_accumulation_steps = 4;
  const auto plan = make_train_plan(config, 10);
  EXPECT_EQ(plan.steps_per_epoch, 3);
  EXPECT_EQ(plan.max_steps, 9);
  EXPECT_EQ(plan.epochs, 3);
}

TEST(TrainPlan, StepsDecideTheEpochs) {
  TrainConfig config;
  config.loop.max_train_steps = 10;
  EXPECT_EQ(make_train_plan(config, 4).epochs, 3);
}

TEST(TrainPlan, TheLastBatchOfAnEpochEndsAShortGroup) {
  TrainConfig config;
  config.loop.gradient_accumulation_steps = 4;
  const auto plan = make_train_plan(config, 6);
  std::vector<int64_t> syncs;
  for (int64_t batch = 0; batch < 6; ++batch) {
    if (plan.is_sync_point(batch)) syncs.push_back(batch);
  }
  EXPECT_EQ(syncs, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(plan.steps_in(5), 1);
  EXPECT_EQ(plan.steps_in(6), 2);
}

TEST(TrainPlan, ProcessesShareOutTheBatchesOfAStep) {
  TrainConfig config;
  config.loop.gradient_accumulation_steps = 2;
  config.loop.max_train_epochs = 1;
  const auto plan = make_train_plan(config, 13, 3);
  EXPECT_EQ(plan.steps_per_epoch, 3);  // 6, 6 and 1
  std::vector<int64_t> rounds;
  for (int64_t batch = 0; batch < 13; batch += rounds.back()) rounds.push_back(plan.round(batch));
  EXPECT_EQ(rounds, (std::vector<int64_t>{3, 3, 3, 3, 1}));
  EXPECT_EQ(plan.round(4), 2);  // resumed in the middle of a step
  EXPECT_EQ(make_train_plan(config, 13).round(0), 1);
}

TEST(TrainPlan, SaveRatioIsRoundedDownToAnInterval) {
  TrainConfig config;
  config.loop.max_train_epochs = 10;
  config.saving.save_n_epoch_ratio = 3;
  EXPECT_EQ(make_train_plan(config, 1).save_every_n_epochs, 3);
  config.saving.save_n_epoch_ratio = 20;
  EXPECT_EQ(make_train_plan(config, 1).save_every_n_epochs, 1);
}

TEST(TrainPlan, AnEmptyDataSetIsAnError) { EXPECT_THROW(make_train_plan(TrainConfig(), 0), UsageError); }

}  // namespace
}  // namespace loraptor::train
