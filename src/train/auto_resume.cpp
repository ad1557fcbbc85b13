#include "train/auto_resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/error.h"
#include "base/log.h"
#include "train/checkpoint_policy.h"
#include "train/resume.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

struct Candidate {
  fs::path folder;
  double saved_at;  // unix time; 0 where it cannot be read
};

fs::path output_folder(const SaveConfig& saving) { return saving.output_dir.value_or("."); }

/// By the state's own clock: times of files change when a folder is copied.
double time_of(const fs::path& folder) {
  try {
    return nlohmann::json::parse(read_file(folder / "train_state.json")).value("saved_at", 0.0);
  } catch (const std::exception&) {
    return 0;
  }
}

/// Whether another trainer wrote the state. Told without its checksums, which newest_state compares.
bool is_foreign(const fs::path& folder) {
  const auto position = folder / "train_state.json";
  if (!fs::exists(folder / "model.safetensors") || fs::exists(folder / "DONE")) return false;
  try {
    return !fs::exists(position) || !nlohmann::json::parse(read_file(position)).contains("loraptor");
  } catch (const std::exception&) {
    return false;
  }
}

/// This run does not go on with a state of another trainer, and must not put its own in the place of it either, unless
/// --resume names it.
void protect_foreign_states(const TrainConfig& config) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(output_folder(config.saving), code)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory(code) || !is_state_name(config.saving, name)) continue;
    if (!may_replace_state(config.saving, name) || !is_foreign(entry.path())) continue;
    if (config.loop.resume && fs::equivalent(*config.loop.resume, entry.path(), code)) continue;
    throw UsageError(fmt::format(
        "[--auto_resume] state: got {}, which another trainer wrote and a state of this run would replace, expected "
        "states of this program.\nHint: go on from it with --resume {}, or choose another --output_name.",
        entry.path().string(), entry.path().string()));
  }
}

}  // namespace

std::optional<fs::path> newest_state(const SaveConfig& saving) {
  std::vector<Candidate> candidates;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(output_folder(saving), code)) {
    if (!entry.is_directory(code) || !is_state_name(saving, entry.path().filename().string())) continue;
    candidates.push_back({entry.path(), time_of(entry.path())});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.saved_at != b.saved_at ? a.saved_at > b.saved_at : a.folder > b.folder;
  });
  for (const auto& candidate : candidates) {
    try {
      if (!read_train_state(candidate.folder).is_step_only) return candidate.folder;
      log::warn("[--auto_resume] passed over: {} was written by another trainer.\nHint: --resume takes it.",
                candidate.folder.string());
    } catch (const std::exception& error) {
      log::warn("[--auto_resume] passed over: {}", error.what());
    }
  }
  return std::nullopt;
}

void choose_state(TrainConfig& config) {
  protect_foreign_states(config);
  for (const auto& stem : name_stems(config.saving)) remove_leftovers(output_folder(config.saving), stem);
  const auto state = newest_state(config.saving);
  if (!state) {
    log::info("[--auto_resume] no state of this run in {}: it begins {}.", output_folder(config.saving).string(),
              config.loop.resume ? "with --resume" : "at its start");
    return;
  }
  log::info("[--auto_resume] goes on with {}.", state->string());
  config.loop.resume = state->string();
  config.loop.initial_step.reset();
  config.loop.initial_epoch.reset();
}

bool is_finished(const TrainConfig& config, const TrainPlan& plan, const TrainState& start) {
  const bool is_at_end = start.events_done == kAfterEpoch && plan.is_over(start.step, start.epoch);
  const auto model = output_folder(config.saving) / save_at_end(config.saving).model;
  // A file that is there before the end is of another run, or of this one when it was shorter.
  if (!is_at_end || !fs::exists(model)) {
    if (is_at_end || start.step >= plan.max_steps) {
      log::info("nothing left to train: the state stands after the last step, {}; only what follows it is done.",
                start.step);
    }
    return false;
  }
  if (config.loop.auto_resume) {
    log::info(
        "[--auto_resume] this run is finished: {} is there, and the state stands at the end, after step {}.\nHint: "
        "raise --max_train_steps or --max_train_epochs to train on, or choose another --output_name.",
        model.string(), start.step);
  } else {
    log::info(
        "[--resume] nothing left to train: the state stands at the end, after step {}, and {} is there and stays as "
        "it is.\nHint: raise --max_train_steps or --max_train_epochs to train on, or choose another --output_name to "
        "write it anew.",
        start.step, model.string());
  }
  return true;
}

}  // namespace loraptor::train
