#include "train/checkpoint_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace loraptor::train {
namespace {

std::string name_or(const SaveConfig& config, const char* otherwise) { return config.output_name.value_or(otherwise); }

std::string step_name(const SaveConfig& config, int64_t step) {
  return fmt::format("{}-step{:08d}", name_or(config, "at"), step);
}

std::string epoch_name(const SaveConfig& config, int64_t epoch) {
  return fmt::format("{}-{:06d}", name_or(config, "epoch"), epoch);
}

std::string recovery_name(const SaveConfig& config) { return name_or(config, "last") + "-recovery"; }

std::string model_file(const SaveConfig& config, const std::string& name) { return name + "." + config.save_model_as; }
std::string state_folder(const std::string& name) { return name + "-state"; }

/// 0 counts as unset, for states as well as for models.
std::optional<int64_t> positive(std::optional<int64_t> value) {
  return value.value_or(0) > 0 ? value : std::optional<int64_t>();
}

std::optional<int64_t> state_limit(std::optional<int64_t> state, std::optional<int64_t> model) {
  return positive(state) ? positive(state) : positive(model);
}

/// The step whose file leaves when `step` is saved and files of the last `keep` steps stay.
std::optional<int64_t> step_to_remove(int64_t step, int64_t every, int64_t keep) {
  int64_t removed = step - keep - 1;
  if (removed < 0) return std::nullopt;
  removed -= removed % every;
  return removed;
}

/// Whether `text` is `start` and then a number of at least `digits` digits.
bool is_numbered(const std::string& text, const std::string& start, size_t digits) {
  if (!text.starts_with(start) || text.size() < start.size() + digits) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(start.size()), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

SaveDecision save_after_step(const SaveConfig& config, int64_t step) {
  SaveDecision decision;
  const auto every = positive(config.save_every_n_steps);
  if (!every || step % *every != 0) return decision;
  decision.model = model_file(config, step_name(config, step));
  if (const auto keep = positive(config.save_last_n_steps)) {
    if (const auto old = step_to_remove(step, *every, *keep)) {
      decision.remove_model = model_file(config, step_name(config, *old));
    }
  }
  if (!config.save_state) return decision;
  decision.state = state_folder(step_name(config, step));
  if (const auto keep = state_limit(config.save_last_n_steps_state, config.save_last_n_steps)) {
    const auto old = step_to_remove(step, *every, *keep);
    if (old && *old > 0) decision.remove_state = state_folder(step_name(config, *old));
  }
  return decision;
}

SaveDecision save_after_epoch(const SaveConfig& config, const TrainPlan& plan, int64_t epoch) {
  SaveDecision decision;
  const auto every = positive(plan.save_every_n_epochs);
  if (!every || epoch % *every != 0 || epoch >= plan.epochs) return decision;
  decision.model = model_file(config, epoch_name(config, epoch));
  if (const auto keep = positive(config.save_last_n_epochs)) {
    const int64_t old = epoch - *every * *keep;
    if (old > 0) decision.remove_model = model_file(config, epoch_name(config, old));
  }
  if (!config.save_state) return decision;
  decision.state = state_folder(epoch_name(config, epoch));
  if (const auto keep = state_limit(config.save_last_n_epochs_state, config.save_last_n_epochs)) {
    const int64_t old = epoch - *every * *keep;
    if (old > 0) decision.remove_state = state_folder(epoch_name(config, old));
  }
  return decision;
}

SaveDecision save_at_end(const SaveConfig& config) {
  SaveDecision decision;
  const std::string name = name_or(config, "last");
  decision.model = model_file(config, name);
  if (config.save_state || config.save_state_on_train_end) decision.state = state_folder(name);
  decision.remove_model = model_file(config, recovery_name(config));
  decision.remove_state = state_folder(recovery_name(config));
  return decision;
}

SaveDecision save_at_stop(const SaveConfig& config) {
  SaveDecision decision = save_for_recovery(config);
  decision.model = model_file(config, recovery_name(config));
  return decision;
}

SaveDecision save_for_recovery(const SaveConfig& config) {
  SaveDecision decision;
  decision.state = state_folder(recovery_name(config));
  return decision;
}

bool is_state_name(const SaveConfig& config, const std::string& folder) {
  const std::string ending = state_folder("");
  if (!folder.ends_with(ending)) return false;
  const std::string name = folder.substr(0, folder.size() - ending.size());
  return name == name_or(config, "last") || name == recovery_name(config) ||
         is_numbered(name, name_or(config, "at") + "-step", 8) || is_numbered(name, name_or(config, "epoch") + "-", 6);
}

bool may_replace_state(const SaveConfig& config, const std::string& folder) {
  if (folder == save_at_end(config).state || folder == save_for_recovery(config).state) return true;
  if (!config.save_state) return false;
  if (folder.starts_with(name_or(config, "at") + "-step")) return positive(config.save_every_n_steps).has_value();
  return positive(config.save_every_n_epochs) || config.save_n_epoch_ratio;
}

std::vector<std::string> name_stems(const SaveConfig& config) {
  if (config.output_name) return {*config.output_name};
  return {"last", "at-step", "epoch-"};
}

std::string average_file(const std::string& model) {
  const size_t dot = model.rfind('.');
  return model.substr(0, dot) + "_ema" + model.substr(dot);
}

}  // namespace loraptor::train
