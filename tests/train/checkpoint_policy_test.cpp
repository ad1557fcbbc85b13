// Names and removal of saved files.
#include "train/checkpoint_policy.h"

#include <gtest/gtest.h>

namespace loraptor::train {
namespace {

SaveConfig steps(int64_t every, std::optional<int64_t> keep) {
  SaveConfig config;
  config.output_name = "cat";
  config.save_every_n_steps = every;
  config.save_last_n_steps = keep;
  return config;
}

TEST(CheckpointPolicy, StepFilesAreWrittenAtMultiples) {
  EXPECT_EQ(save_after_step(steps(10, {}), 20).model, "cat-step00000020.safetensors");
  EXPECT_TRUE(save_after_step(steps(10, {}), 21).model.empty());
  EXPECT_FALSE(save_after_step(steps(10, {}), 20).remove_model);
}

TEST(CheckpointPolicy, OldStepFilesLeave) {
  EXPECT_EQ(save_after_step(steps(10, 30), 50).remove_model, "cat-step00000010.safetensors");
  EXPECT_FALSE(save_after_step(steps(10, 30), 30).remove_model);
}

TEST(CheckpointPolicy, StatesFollowModelsAndHaveALimitOfTheirOwn) {
  SaveConfig config = steps(10, 30);
  config.save_state = true;
  config.save_last_n_steps_state = 10;
  const auto decision = save_after_step(config, 50);
  EXPECT_EQ(decision.state, "cat-step00000050-state");
  EXPECT_EQ(decision.remove_state, "cat-step00000030-state");
}

TEST(CheckpointPolicy, OnlyStatesThatARunSavesAreReplaced) {
  SaveConfig config = steps(10, {});
  EXPECT_TRUE(may_replace_state(config, "cat-recovery-state"));
  EXPECT_FALSE(may_replace_state(config, "cat-state"));
  EXPECT_FALSE(may_replace_state(config, "cat-step00000010-state"));
  config.save_state = true;
  EXPECT_TRUE(may_replace_state(config, "cat-state"));
  EXPECT_TRUE(may_replace_state(config, "cat-step00000010-state"));
  EXPECT_FALSE(may_replace_state(config, "cat-000001-state"));
  config.save_every_n_epochs = 1;
  EXPECT_TRUE(may_replace_state(config, "cat-000001-state"));
}

TEST(CheckpointPolicy, TheLastEpochIsTheFinalFile) {
  SaveConfig config;
  config.output_name = "cat";
  config.save_last_n_epochs = 2;
  TrainPlan plan{};
  plan.epochs = 6;
  plan.save_every_n_epochs = 1;
  EXPECT_EQ(save_after_epoch(config, plan, 5).model, "cat-000005.safetensors");
  EXPECT_EQ(save_after_epoch(config, plan, 5).remove_model, "cat-000003.safetensors");
  EXPECT_TRUE(save_after_epoch(config, plan, 6).model.empty());
  EXPECT_EQ(save_at_end(config).model, "cat.safetensors");
}

TEST(CheckpointPolicy, NamesWithoutOutputName) {
  SaveConfig config;
  config.save_every_n_steps = 1;
  EXPECT_EQ(save_after_step(config, 1).model, "at-step00000001.safetensors");
  EXPECT_EQ(save_at_end(config).model, "last.safetensors");
}

TEST(CheckpointPolicy, AStopHasNamesOfItsOwnThatGoWhenTheRunIsOver) {
  SaveConfig config;
  config.output_name = "cat";
  EXPECT_EQ(save_at_stop(config).model, "cat-recovery.safetensors");
  EXPECT_EQ(save_at_stop(config).state, "cat-recovery-state");
  EXPECT_TRUE(save_for_recovery(config).model.empty());
  EXPECT_EQ(save_for_recovery(config).state, "cat-recovery-state");
  EXPECT_EQ(save_at_end(config).remove_model, "cat-recovery.safetensors");
  EXPECT_EQ(save_at_end(config).remove_state, "cat-recovery-state");
}

TEST(CheckpointPolicy, KnowsTheStatesOfARun) {
  SaveConfig config;
  config.output_name = "cat";
  for (const char* name : {"cat-state", "cat-recovery-state", "cat-step00000010-state", "cat-000003-state"}) {
    EXPECT_TRUE(is_state_name(config, name)) << name;
  }
  for (const char* name :
       {"cat", "cat-state.tmp-7", "dog-state", "cat-step10-state", "cat-v2-state", "at-000003-state"}) {
    EXPECT_FALSE(is_state_name(config, name)) << name;
  }
  EXPECT_TRUE(is_state_name({}, "last-state"));
  EXPECT_TRUE(is_state_name({}, "at-step00000010-state"));
  EXPECT_TRUE(is_state_name({}, "epoch-000003-state"));
}

TEST(CheckpointPolicy, TheAverageStandsBesideTheLora) {
  EXPECT_EQ(average_file("cat.v1-step00000010.safetensors"), "cat.v1-step00000010_ema.safetensors");
}

}  // namespace
}  // namespace loraptor::train
