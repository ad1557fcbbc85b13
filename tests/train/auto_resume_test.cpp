// Which state a run goes on from.
#include "train/auto_resume.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "support/temp_folder.h"
#include "train/data_identity.h"
#include "train/resume.h"
#include "train/run_identity.h"

namespace loraptor::train {
namespace {

class AutoResume : public testing::Test {
 protected:
  AutoResume() {
    saving_.output_dir = folder_.path().string();
    saving_.output_name = "cat";
  }

  /// A state that says it was saved at `time` after `step` steps.
  void add_state(const std::string& name, double time, int64_t step) {
    TrainState state;
    state.step = step;
    const nlohmann::json json = {{"saved_at", time}, {"loraptor", to_json(state)}};
    write_file(folder_ / name / "train_state.json", json.dump());
    write_file(folder_ / name / "model.safetensors", "weights");
    std::string sums;
    for (const char* file : {"train_state.json", "model.safetensors"}) {
      sums += sha256_hex_of_file(folder_ / name / file) + "  " + file + "\n";
    }
    write_file(folder_ / name / "DONE", sums);
  }
  std::string newest() const {
    const auto state = newest_state(saving_);
    return state ? state->filename().string() : "";
  }

  test::TempFolder folder_;
  SaveConfig saving_;
};

TEST_F(AutoResume, TakesTheStateSavedLast) {
  EXPECT_EQ(newest(), "");
  add_state("cat-step00000010-state", 100, 10);
  add_state("cat-recovery-state", 300, 30);
  add_state("cat-000002-state", 200, 20);
  EXPECT_EQ(newest(), "cat-recovery-state");
}

TEST_F(AutoResume, LooksOnlyAtStatesOfThisRun) {
  add_state("cat-step00000010-state", 100, 10);
  add_state("dog-step00000020-state", 200, 20);
  add_state("cat-2-state", 300, 30);
  add_state("cat-step00000020-state.tmp-1", 400, 40);
  EXPECT_EQ(newest(), "cat-step00000010-state");
}

TEST_F(AutoResume, PassesOverDamagedAndIncompleteStates) {
  add_state("cat-step00000010-state", 100, 10);
  add_state("cat-step00000020-state", 200, 20);
  add_state("cat-step00000030-state", 300, 30);
  write_file(folder_ / "cat-step00000030-state/model.safetensors", "weighty");
  std::filesystem::remove(folder_ / "cat-step00000020-state/DONE");
  EXPECT_EQ(newest(), "cat-step00000010-state");
}

TEST_F(AutoResume, DamageIsNamedWithItsFile) {
  add_state("cat-state", 1, 1);
  write_file(folder_ / "cat-state/model.safetensors", "weighty");
  try {
    read_train_state(folder_ / "cat-state");
    FAIL() << "expected FileError";
  } catch (const FileError& e) {
    EXPECT_NE(std::string(e.what()).find("cat-state/model.safetensors"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("damaged"), std::string::npos) << e.what();
  }
}

TEST_F(AutoResume, WinsOverAStartThatTheCommandNames) {
  add_state("cat-state", 1, 1);
  TrainConfig config;
  config.saving = saving_;
  config.loop.resume = "elsewhere";
  config.loop.initial_step = 7;
  choose_state(config);
  EXPECT_EQ(config.loop.resume, (folder_ / "cat-state").string());
  EXPECT_FALSE(config.loop.initial_step);
}

TEST_F(AutoResume, ARunIsFinishedWhenAllIsDoneAndItsFileIsThere) {
  TrainConfig config;
  config.saving = saving_;
  config.loop.auto_resume = true;
  TrainPlan plan{};
  plan.max_steps = 10;
  TrainState state;
  state.step = 10;
  state.events_done = kAfterEpoch;
  EXPECT_FALSE(is_finished(config, plan, state)) << "no file";
  write_file(folder_ / "cat.safetensors", "lora");
  EXPECT_TRUE(is_finished(config, plan, state));
  state.events_done = kAfterStep;
  EXPECT_FALSE(is_finished(config, plan, state)) << "the end of the epoch is missing";
  plan.max_steps = 11;
  EXPECT_FALSE(is_finished(config, plan, state)) << "one step more";
}

TEST_F(AutoResume, AStateAtTheEndLeavesTheFinishedFileAlone) {
  TrainConfig config;
  config.saving = saving_;
  config.loop.resume = "cat-step00000010-state";
  TrainPlan plan{};
  plan.max_steps = 10;
  TrainState state;
  state.step = 10;
  state.events_done = kAfterEpoch;
  EXPECT_FALSE(is_finished(config, plan, state)) << "the file is still to be written";
  write_file(folder_ / "cat.safetensors", "lora");
  EXPECT_TRUE(is_finished(config, plan, state));
  state.events_done = kStepValidation;
  EXPECT_FALSE(is_finished(config, plan, state)) << "stopped before its end: the file is an older one";
}

TEST_F(AutoResume, ARunThatEndsWithItsEpochsIsFinishedAfterTheLast) {
  TrainConfig config;
  config.saving = saving_;
  config.loop.auto_resume = true;
  TrainPlan plan{};
  plan.max_steps = 10;
  plan.epochs = 3;
  plan.ends_with_epochs = true;
  TrainState state;
  state.step = 7;
  state.epoch = 3;
  write_file(folder_ / "cat.safetensors", "lora");
  EXPECT_FALSE(is_finished(config, plan, state)) << "in the middle of the last epoch";
  state.events_done = kAfterEpoch;
  EXPECT_TRUE(is_finished(config, plan, state));
  state.epoch = 2;
  EXPECT_FALSE(is_finished(config, plan, state)) << "an epoch is left";
}

TEST_F(AutoResume, AStateOfAnotherTrainerIsNotReplaced) {
  write_file(folder_ / "cat-state/model.safetensors", "weights");
  TrainConfig config;
  config.saving = saving_;
  EXPECT_NO_THROW(choose_state(config)) << "no state is saved at the end";
  config.saving.save_state_on_train_end = true;
  add_state("cat-recovery-state", 1, 1);
  EXPECT_THROW(choose_state(config), UsageError);
  config.loop.resume = (folder_ / "cat-state").string();
  choose_state(config);
  EXPECT_EQ(config.loop.resume, (folder_ / "cat-recovery-state").string());
}

TEST_F(AutoResume, AnotherTrainersStateTellsItsStep) {
  write_file(folder_ / "cat-state/model.safetensors", "weights");
  EXPECT_EQ(read_train_state(folder_ / "cat-state").step, 0);
  write_file(folder_ / "cat-state/train_state.json", R"({"current_epoch": 2, "current_step": 30})");
  const auto state = read_train_state(folder_ / "cat-state");
  EXPECT_TRUE(state.is_step_only);
  EXPECT_EQ(state.step, 30);
  EXPECT_EQ(state.updates, 30);
  EXPECT_EQ(newest(), "") << "--auto_resume goes on with states of ours only";
  for (const char* broken : {"[]", "3", "{", R"({"current_step": -1})", R"({"current_step": 9223372036854775808})",
                             R"({"current_step": "3"})"}) {
    write_file(folder_ / "cat-state/train_state.json", broken);
    EXPECT_THROW(read_train_state(folder_ / "cat-state"), FileError) << broken;
    EXPECT_EQ(newest(), "");
  }
}

data::Dataset described_dataset(const data::DatasetConfig& config, const data::SubsetConfig& subset) {
  data::DatasetContent content;
  content.parts.resize(1);
  content.parts[0].config = config;
  content.parts[0].subsets = {{subset, 1}};
  return data::Dataset(std::move(content));
}

TEST(DataIdentity, TellsWhatWasEdited) {
  data::DatasetConfig config;
  config.resolution = data::Size{512, 512};
  data::SubsetConfig subset;
  subset.image_dir = "cats";
  subset.num_repeats = 3;
  const auto before = to_json(data_identity(described_dataset(config, subset)));
  EXPECT_EQ(before.size(), 3u) << "defaults are left out: " << before.dump();
  EXPECT_TRUE(differences(before, data_identity(described_dataset(config, subset))).empty());
  subset.num_repeats = 2;
  subset.caption.caption_prefix = "sks";
  config.validation_split = 0.25;
  config.validation_seed = 7;
  const auto now = data_identity(described_dataset(config, subset));
  EXPECT_EQ(differences(before, now),
            (std::vector<std::string>{"data set 1, subset 1, caption_prefix: was not given, is sks",
                                      "data set 1, subset 1, num_repeats: was 3, is 2",
                                      "data set 1, validation_seed: was not given, is 7",
                                      "data set 1, validation_split: was not given, is 0.25"}));
  EXPECT_TRUE(differences(nlohmann::json(), now).empty()) << "an old state says nothing";
}

TEST(RunIdentity, TellsWhatDiffers) {
  TrainConfig config;
  config.given = {{"learning_rate", "0.1", "command line"}, {"output_name", "cat", "command line"}};
  TrainPlan plan{};
  plan.batches_per_epoch = 5;
  const auto before = to_json(run_identity(config, plan, 10));
  EXPECT_TRUE(differences(before, run_identity(config, plan, 10)).empty());
  EXPECT_TRUE(differences(nlohmann::json(), run_identity(config, plan, 10)).empty()) << "an old state says nothing";
  config.given = {{"network_dim", "8", "command line"}, {"output_name", "dog", "command line"}};
  EXPECT_EQ(differences(before, run_identity(config, plan, 11)),
            (std::vector<std::string>{"images of the data set: was 10, is 11", "learning_rate: was 0.1, is not given",
                                      "network_dim: was not given, is 8"}));
}

}  // namespace
}  // namespace loraptor::train
