// Learning-rate schedules against the reference.
#include "optim/lr_schedule.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/golden.h"
#include "support/number_check.h"

namespace loraptor {
namespace {

optim::StepsOrFraction steps_or_fraction(const std::string& text) {
  const double value = std::stod(text);
  return {value, value < 1};
}

optim::ScheduleConfig schedule_config(const std::vector<std::string>& args) {
  optim::ScheduleConfig config;
  for (size_t i = 0; i + 1 < args.size(); ++i) {
    const auto& flag = args[i];
    const auto& value = args[i + 1];
    if (flag == "--lr_scheduler_args") {
      while (i + 1 < args.size() && !args[i + 1].starts_with("--")) config.lr_scheduler_args.push_back(args[++i]);
      continue;
    }
    ++i;
    if (flag == "--lr_scheduler") config.lr_scheduler = value;
    else if (flag == "--lr_scheduler_type") config.lr_scheduler_type = value;
    else if (flag == "--lr_warmup_steps") config.lr_warmup_steps = steps_or_fraction(value);
    else if (flag == "--lr_decay_steps") config.lr_decay_steps = steps_or_fraction(value);
    else if (flag == "--lr_scheduler_num_cycles") config.lr_scheduler_num_cycles = std::stol(value);
    else if (flag == "--lr_scheduler_power") config.lr_scheduler_power = std::stod(value);
    else if (flag == "--lr_scheduler_timescale") config.lr_scheduler_timescale = std::stol(value);
    else if (flag == "--lr_scheduler_min_lr_ratio") config.lr_scheduler_min_lr_ratio = std::stod(value);
    else ADD_FAILURE() << "golden case uses " << flag;
  }
  return config;
}

TEST(GoldenSchedules, EqualTheReference) {
  const auto path = test::golden_folder() / "train/schedules.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not in this golden folder";
  const auto file = test::read_golden_json(path);
  test::NumberCheck check("schedules.json");
  const auto bases = file["group_base_lr"].get<std::vector<double>>();
  for (const auto& c : file["cases"]) {
    const auto config = schedule_config(c["args"]);
    const optim::ScheduleRun run{c["max_train_steps"], c["processes"], file["learning_rate"]};
    if (c.contains("error") && !c["error"].is_null()) {
      EXPECT_THROW(optim::create_lr_schedule(config, run), UsageError) << c["args"];
      continue;
    }
    const auto schedule = optim::create_lr_schedule(config, run);
    for (size_t g = 0; g < bases.size(); ++g) {
      const auto want = test::json_numbers(c["lr_group_" + std::to_string(g)]);
      std::vector<double> got;
      for (size_t step = 0; step < want.size(); ++step) {
        got.push_back(schedule(static_cast<int64_t>(step) * run.processes, bases[g]));
      }
      const std::string name = c["args"].dump() + " P" + std::to_string(run.processes) + " group " + std::to_string(g);
      check.expect(name, got, want, 1e-18, 1e-12);
    }
  }
}

TEST(Schedules, UnknownNamesAndArgumentsAreRefused) {
  optim::ScheduleConfig config;
  config.lr_scheduler = "cosin";
  EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1e-4}), UsageError);
  config.lr_scheduler = "cosine";
  config.lr_scheduler_args = {"gamma=1"};
  EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1e-4}), UsageError);
  config.lr_scheduler_type = "StepLR";
  EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1e-4}), UsageError);
  config.lr_scheduler_type = "ReduceLROnPlateau";
  EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1e-4}), UsageError);
}

TEST(Schedules, TheFloorMayBeARateOrAFractionAmongTheArguments) {
  constexpr double kRate = 1e-4;
  optim::ScheduleConfig config;
  config.lr_scheduler = "cosine_with_min_lr";
  config.lr_warmup_steps = {10, false};
  const auto rates = [&](std::optional<double> ratio, const std::vector<std::string>& args) {
    config.lr_scheduler_min_lr_ratio = ratio;
    config.lr_scheduler_args = args;
    const auto schedule = optim::create_lr_schedule(config, {100, 1, kRate});
    std::vector<double> all;
    for (int64_t step = 0; step < 100; ++step) all.push_back(schedule(step, 3 * kRate));
    return all;
  };
  const auto want = rates(0.25, {});
  EXPECT_EQ(rates({}, {"min_lr_rate=0.25"}), want);
  EXPECT_EQ(rates({}, {"min_lr=2.5e-5"}), want);  // a fraction of --learning_rate, whatever the group's rate is
  EXPECT_THROW(rates({}, {}), UsageError);
  EXPECT_THROW(rates(0.25, {"min_lr=2.5e-5"}), UsageError);
  EXPECT_THROW(rates({}, {"min_lr=1e-5", "min_lr_rate=0.1"}), UsageError);
  EXPECT_THROW(rates({}, {"min_lr=-1e-5"}), UsageError);
  EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 0}), UsageError);
}

TEST(Schedules, TellWhichOptionsTheyRead) {
  const auto reads = [](const std::string& name, const std::string& type = "") {
    optim::ScheduleConfig config;
    config.lr_scheduler = name;
    config.lr_scheduler_type = type;
    std::string text;
    for (const char* option :
         {"lr_scheduler", "lr_scheduler_args", "lr_warmup_steps", "lr_decay_steps", "lr_scheduler_num_cycles",
          "lr_scheduler_power", "lr_scheduler_timescale", "lr_scheduler_min_lr_ratio"}) {
      text += optim::lr_schedule_reads(config, option) ? '1' : '0';
    }
    return text;
  };
  EXPECT_EQ(reads("linear"), "11100000");
  EXPECT_EQ(reads("cosine_with_restarts"), "11101000");
  EXPECT_EQ(reads("polynomial"), "11100100");
  EXPECT_EQ(reads("inverse_sqrt"), "11100010");
  EXPECT_EQ(reads("cosine_with_min_lr"), "11101001");
  EXPECT_EQ(reads("warmup_stable_decay"), "11111001");
  EXPECT_EQ(reads("piecewise_constant"), "11000000");
  EXPECT_EQ(reads("linear", "StepLR"), "01100000");
}

TEST(Schedules, RulesThatAreNoNumbersAreRefused) {
  optim::ScheduleConfig config;
  config.lr_scheduler = "piecewise_constant";
  for (const char* rules : {"step_rules=''", "step_rules='1:10'", "step_rules='1,2'", "step_rules='a:1,0'"}) {
    config.lr_scheduler_args = {rules};
    EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1e-4}), UsageError) << rules;
  }
}

TEST(Schedules, FractionsAreOfAllProcessesAndRoundDown) {
  EXPECT_EQ(optim::schedule_length({0.15, true}, {65, 2, 0}), 19);
  EXPECT_EQ(optim::schedule_length({10, false}, {65, 2, 0}), 10);
}

TEST(Schedules, RulesCountInTheOrderOfTheirSteps) {
  optim::ScheduleConfig config;
  config.lr_scheduler = "piecewise_constant";
  config.lr_scheduler_args = {"step_rules='0.1:20,1:10,0.01'"};
  const auto schedule = optim::create_lr_schedule(config, {100, 1, 1.0});
  for (const auto& [step, rate] : {std::pair(0, 1.0), {9, 1.0}, {10, 0.1}, {20, 0.01}}) {
    EXPECT_DOUBLE_EQ(schedule(step, 1.0), rate) << step;
  }
}

TEST(Schedules, CyclesOfTheMomentumEqualPytorch) {
  const auto momenta = [](const std::string& type, const std::vector<std::string>& args, int64_t count) {
    optim::ScheduleConfig config;
    config.lr_scheduler_type = type;
    config.lr_scheduler_args = args;
    const auto schedule = optim::create_lr_schedule(config, {100, 1, 1.0});
    std::vector<double> all;
    for (int64_t step = 0; step < count; ++step) all.push_back(schedule.momentum(step).value_or(-1));
    return all;
  };
  const auto expect = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-11) << i;
  };
  // What torch.optim.lr_scheduler of PyTorch 2.11 leaves in `betas`.
  expect(momenta("OneCycleLR", {"max_lr=0.01", "total_steps=10"}, 6),
         {0.95, 0.9, 0.85, 0.854951556605, 0.868825509907, 0.888873953302});
  expect(momenta("OneCycleLR",
                 {"max_lr=0.01", "total_steps=10", "three_phase=True", "anneal_strategy='linear'", "base_momentum=0.5",
                  "max_momentum=0.9"},
                 6),
         {0.9, 0.7, 0.5, 0.7, 0.9, 0.9});
  expect(momenta("CyclicLR",
                 {"base_lr=0.001", "max_lr=0.01", "step_size_up=3", "step_size_down=2", "mode='triangular2'"}, 8),
         {0.9, 0.866666666667, 0.833333333333, 0.8, 0.85, 0.9, 0.883333333333, 0.866666666667});
  expect(
      momenta("CyclicLR",
              {"base_lr=0.001", "max_lr=0.01", "step_size_up=2", "mode='exp_range'", "gamma=0.9", "base_momentum=0.7"},
              5),
      {0.9, 0.81, 0.738, 0.8271, 0.9});
  expect(momenta("OneCycleLR", {"max_lr=0.01", "total_steps=10", "cycle_momentum=False"}, 1), {-1});
  expect(momenta("StepLR", {"step_size=3"}, 1), {-1});
}

TEST(Schedules, LengthsWithoutStepsAreRefused) {
  const std::vector<std::vector<std::string>> cases{{"StepLR", "step_size=0"},
                                                    {"CosineAnnealingLR", "T_max=0"},
                                                    {"LinearLR", "total_iters=-1"},
                                                    {"CyclicLR", "base_lr=0.1", "max_lr=1", "step_size_up=0"},
                                                    {"OneCycleLR", "max_lr=1", "total_steps=10", "pct_start=0.1"}};
  for (const auto& words : cases) {
    optim::ScheduleConfig config;
    config.lr_scheduler_type = words.front();
    config.lr_scheduler_args = {words.begin() + 1, words.end()};
    EXPECT_THROW(optim::create_lr_schedule(config, {100, 1, 1.0}), UsageError) << words.front();
  }
  optim::ScheduleConfig config;
  config.lr_scheduler_type = "LinearLR";
  config.lr_scheduler_args = {"total_iters=0", "start_factor=0.5"};
  EXPECT_DOUBLE_EQ(optim::create_lr_schedule(config, {100, 1, 1.0})(3, 1.0), 0.5);
}

}  // namespace
}  // namespace loraptor
