// The one place where options become settings.
#include "cli/config_build.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/config_file.h"
#include "cli/option_table.h"
#include "cli/option_value.h"
#include "train/train_config_check.h"

namespace loraptor::cli {
namespace {

/// A number may be written as a whole one: max_grad_norm = 1.
bool is_default(const Option& option, const Value& value) {
  const auto* whole = std::get_if<int64_t>(&value);
  const auto* usual = std::get_if<double>(&option.default_value);
  if (whole != nullptr && usual != nullptr) return static_cast<double>(*whole) == *usual;
  return value == option.default_value;
}

/// Notes what stands against `given`, a value other than the default.
void judge(const Option& option, const Given& given, std::vector<std::string>& warnings,
           std::vector<std::string>& problems) {
  if (is_default(option, given.value)) return;
  switch (option.status) {
    case Status::works: break;
    case Status::refused:
      problems.push_back(
          fmt::format("[--{}] option: got it, expected a run without it.\nHint: {}.", option.name, option.note));
      break;
    case Status::no_effect:
      if (!option.is_silent) warnings.push_back(fmt::format("--{} has no effect: {}.", option.name, option.note));
      break;
  }
}

void set_recorded(const GivenOptions& given, TrainConfig& config) {
  for (const Option& option : all_options()) {
    if (option.metadata_name.empty()) continue;
    const auto found = given.find(option.name);
    config.recorded[option.metadata_name] =
        python_text(found == given.end() ? option.default_value : found->second.value);
  }
}

/// All settings as they are after what others imply, each with its origin ("" for a default); secrets are left out.
std::vector<train::GivenSetting> all_settings(TrainConfig& config) {
  std::vector<train::GivenSetting> all;
  for (const Option& option : all_options()) {
    const bool is_setting = !std::holds_alternative<std::monostate>(option.field) && option.status != Status::no_effect;
    if (option.is_secret || !is_setting) continue;
    const auto origin = config.origins.find(option.name);
    all.push_back(
        {option.name, python_text(load(option, config)), origin == config.origins.end() ? "" : origin->second});
  }
  return all;
}

}  // namespace

BuiltConfig build_config(const GivenOptions& command_line) {
  BuiltConfig built;
  GivenOptions given;
  if (const auto path = config_file_path(command_line)) {
    ConfigFile read = read_config_file(*path);
    given = std::move(read.options);
    built.warnings = std::move(read.warnings);
    built.config.model_spec.other = std::move(read.other_metadata);
  }
  for (const auto& [name, value] : command_line) given[name] = value;
  if (const auto output = given.find("output_config"); output != given.end() && output->second.value == Value(true)) {
    built.warnings.emplace_back("--output_config has no effect without --config_file on the command line.");
  }

  std::vector<std::string> problems;
  for (const Option& option : all_options()) {
    const auto found = given.find(option.name);
    if (found == given.end()) continue;
    judge(option, found->second, built.warnings, problems);
    store(option, found->second.value, built.config);
    if (!is_default(option, found->second.value)) built.config.origins[option.name] = found->second.origin;
  }
  if (const auto alpha = given.find("network_alpha"); alpha != given.end()) {
    built.config.network.network_alpha_is_integer = std::holds_alternative<int64_t>(alpha->second.value);
  }
  set_recorded(given, built.config);
  for (std::string& warning : train::apply_implied_settings(built.config)) built.warnings.push_back(std::move(warning));
  for (std::string& problem : train::find_problems(built.config)) problems.push_back(std::move(problem));
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
  for (std::string& warning : train::find_unused_settings(built.config)) built.warnings.push_back(std::move(warning));
  built.config.all = all_settings(built.config);
  std::copy_if(built.config.all.begin(), built.config.all.end(), std::back_inserter(built.config.given),
               [](const auto& setting) { return !setting.origin.empty(); });
  return built;
}

std::string settings_text(const TrainConfig& config) {
  size_t width = 0;
  for (const auto& setting : config.given) width = std::max(width, setting.name.size());
  std::string text;
  for (const auto& setting : config.given) {
    text += fmt::format("  {:<{}}  {}  ({})\n", setting.name, width, setting.value, setting.origin);
  }
  return text;
}

}  // namespace loraptor::cli
