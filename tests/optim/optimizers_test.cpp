// All optimizers against the reference's, and exact continuation from a saved state.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "optim/grad_clip.h"
#include "optimizer_case.h"
#include "support/elsewhere.h"
#include "support/golden.h"
#include "support/number_check.h"

namespace loraptor {
namespace {

std::filesystem::path cases_path() { return test::golden_folder() / "train/optimizers.json"; }

const nlohmann::json& cases_file() {
  static const nlohmann::json file =
      std::filesystem::exists(cases_path()) ? test::read_golden_json(cases_path()) : nlohmann::json::object();
  return file;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  if (cases_file().contains("cases")) {
    for (const auto& c : cases_file()["cases"]) names.push_back(c["name"]);
  }
  return names;
}

const nlohmann::json& case_named(const std::string& name) {
  for (const auto& c : cases_file()["cases"]) {
    if (c["name"] == name) return c;
  }
  throw std::runtime_error("no case " + name);
}

/// Limits of the golden folder's README, relative to the largest value of a tensor.
struct Limits {
  double value = 2e-6;
  double d = 1e-5;
};

Limits limits_of(const nlohmann::json& c) {
  const std::string name = c["name"], type = c["args"][1];
  const bool is_8bit = type.find("8bit") != std::string::npos;
  if (name.starts_with("ProdigyPlus")) return name == "ProdigyPlus_args" ? Limits{1e-2, 1e-5} : Limits{1e-5, 1e-4};
  if (name.starts_with("Prodigy")) return {1e-5, 1e-5};
  if (name.starts_with("DAdaptAdamPreprint") || name.starts_with("DAdaptation")) return {3e-4, 1e-5};
  if (name.starts_with("DAdapt")) return {2e-5, 1e-5};
  if (is_8bit && !name.ends_with("_nearest")) return {3e-2, 1e-5};
  return {};
}

test::GoldenFile& tensors() {
  static test::GoldenFile file(test::golden_folder() / "train/optimizers.safetensors");
  return file;
}

void expect_values(const std::string& name, const std::string& suffix, test::OptimizerCase& run, double limit) {
  for (const auto& [parameter, value] : run.values()) {
    const std::string key = name + "/" + parameter + "/" + suffix;
    if (!tensors().has(key)) continue;
    const double largest = tensors()[key].abs().max().item<double>();
    tensors().expect_close(key, value / largest, tensors()[key] / largest, limit);
  }
}

void expect_states(const std::string& name, const std::map<std::string, at::Tensor>& state, double limit) {
  for (const auto& key : tensors().names_starting(name + "/")) {
    const size_t at = key.find("/state.");
    if (at == std::string::npos) continue;
    const std::string parameter = key.substr(name.size() + 1, at - name.size() - 1);
    const auto found = state.find(parameter + "." + key.substr(at + 7));
    if (found == state.end()) continue;
    const auto& want = tensors()[key];
    const auto got = found->second.to(at::kDouble).reshape(want.sizes());
    const bool is_codes = want.scalar_type() == at::kByte;
    const double largest = is_codes ? 1 : std::max(1e-30, want.abs().max().item<double>());
    tensors().expect_close(key, got / largest, want.to(at::kDouble) / largest, is_codes ? 0 : limit);
  }
}

void expect_history(const nlohmann::json& c, const optim::Optimizer& optimizer, int step, double limit,
                    test::NumberCheck& check) {
  if (!c.contains("history") || c["history"].is_null()) return;
  for (const auto& [key, values] : optimizer.statistics()) {
    const std::string recorded = key == "lr" ? "logged_lr_after_step" : key;
    if (!c["history"].contains(recorded)) continue;
    check.expect(key + " after " + std::to_string(step), values, test::json_numbers(c["history"][recorded][step - 1]),
                 1e-30, limit);
  }
}

void repeat_case(const nlohmann::json& c) {
  const std::string name = c["name"];
  test::OptimizerCase run(cases_file(), c);
  if (c.contains("error") && !c["error"].is_null()) {
    EXPECT_THROW(optim::create_optimizer(run.config(), run.groups()), UsageError) << name;
    return;
  }
  const auto optimizer = optim::create_optimizer(run.config(), run.groups());
  const std::string args = c.value("class_args", "");
  const std::string wanted_class = c["class"];
  EXPECT_EQ(optimizer->description(), args.empty() ? wanted_class : wanted_class + "(" + args + ")");
  const Limits limits = limits_of(c);
  const auto recorded_steps = cases_file()["values_after"].get<std::set<int>>();
  test::NumberCheck history(name + " history", false);
  for (int t = 1; t <= cases_file()["steps"].get<int>(); ++t) {
    run.set_gradients(t);
    optimizer->step(run.lrs());
    expect_history(c, *optimizer, t, limits.d, history);
    if (!recorded_steps.count(t)) continue;
    expect_values(name, "after" + std::to_string(t), run, limits.value);
    optimizer->eval();
    expect_values(name, "eval_after" + std::to_string(t), run, limits.value);
    optimizer->train();
  }
  if (limits.value < 3e-2) expect_states(name, optimizer->state_dict(), std::max(1e-5, limits.value));
}

class GoldenOptimizer : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenOptimizer);

TEST_P(GoldenOptimizer, EqualsTheReference) { repeat_case(case_named(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Case, GoldenOptimizer, ::testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

class PlacedOptimizer : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlacedOptimizer);

TEST_P(PlacedOptimizer, StaysOnTheDeviceOfItsParameters) {
  const auto& c = case_named(GetParam());
  if (c.contains("error") && !c["error"].is_null()) GTEST_SKIP() << "the case is an error";
  const test::MixWatch watch;
  test::OptimizerCase run(cases_file(), c, test::kElsewhere);
  const auto optimizer = optim::create_optimizer(run.config(), run.groups());
  for (int t = 1; t <= 3; ++t) {
    for (const auto& group : run.groups()) optim::clip_grad_norm(group.flat_grad, 1);
    optimizer->step(run.lrs());
    optimizer->eval();
    optimizer->train();
  }
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>());
}

INSTANTIATE_TEST_SUITE_P(Case, PlacedOptimizer, ::testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

class ResumeOptimizer : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ResumeOptimizer);

/// Twelve steps at once, and seven steps + saved state + five steps of a fresh optimizer, bit for bit.
TEST_P(ResumeOptimizer, ContinuesBitForBit) {
  const auto& c = case_named(GetParam());
  if (c.contains("error") && !c["error"].is_null()) GTEST_SKIP() << "the case is an error";
  test::OptimizerCase whole(cases_file(), c), first(cases_file(), c), second(cases_file(), c);
  const auto run = [](test::OptimizerCase& data, optim::Optimizer& optimizer, int from, int to) {
    for (int t = from; t <= to; ++t) {
      data.set_gradients(t);
      optimizer.step(data.lrs());
    }
  };
  const auto whole_optimizer = optim::create_optimizer(whole.config(), whole.groups());
  run(whole, *whole_optimizer, 1, 12);
  const auto first_optimizer = optim::create_optimizer(first.config(), first.groups());
  run(first, *first_optimizer, 1, 7);
  const auto state = first_optimizer->state_dict();
  const auto second_optimizer = optim::create_optimizer(second.config(), second.groups());
  {
    at::NoGradGuard no_grad;
    for (auto& [name, value] : second.values()) value.copy_(first.values().at(name));
  }
  second_optimizer->load_state_dict(state);
  run(second, *second_optimizer, 8, 12);
  for (const auto& [name, value] : whole.values()) EXPECT_TRUE(at::equal(value, second.values().at(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(Case, ResumeOptimizer, ::testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

TEST(Optimizers, UnknownTypesAndConflictsAreRefused) {
  std::vector<optim::ParamGroup> groups;
  optim::OptimizerConfig config;
  config.optimizer_type = "AdamV";
  EXPECT_THROW(optim::create_optimizer(config, groups), UsageError);
  config.optimizer_type = "";
  config.use_8bit_adam = config.use_lion_optimizer = true;
  EXPECT_THROW(optim::optimizer_traits(config), UsageError);
}

TEST(Optimizers, NamesMatchWithoutRegardToCase) {
  optim::OptimizerConfig config;
  EXPECT_EQ(optim::optimizer_traits(config).type, "AdamW");
  config.optimizer_type = "adamw";
  std::vector<optim::ParamGroup> groups;
  EXPECT_EQ(optim::create_optimizer(config, groups)->description(), "torch.optim.adamw.AdamW");
}

}  // namespace
}  // namespace loraptor
