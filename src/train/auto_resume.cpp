#include "train/auto_resume.h"

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
    } catch (const std::exception& error) {
      log::warn("[--auto_resume] passed over: {}", error.what());
    }
  }
  return std::nullopt;
}

void choose_state(TrainConfig& config) {
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
  if (start.step < plan.max_steps) return false;
  const bool is_automatic = config.loop.auto_resume;
  // A run that was killed before its last file may have left that of a shorter one.
  if (is_automatic && start.events_done != kAfterEpoch) return false;
  const auto model = output_folder(config.saving) / save_at_end(config.saving).model;
  if (!fs::exists(model)) {
    log::info("nothing left to train: the state has all {} steps; only what follows the last one is done.",
              plan.max_steps);
    return false;
  }
  if (is_automatic) {
    log::info(
        "[--auto_resume] this run is finished: {} has all {} steps.\nHint: raise --max_train_steps or "
        "--max_train_epochs to train on, or choose another --output_name.",
        model.string(), plan.max_steps);
  } else {
    log::info(
        "[--resume] nothing left to train: the state has all {} steps, and {} is there and stays as it is.\nHint: "
        "raise "
        "--max_train_steps or --max_train_epochs to train on, or choose another --output_name to write it anew.",
        plan.max_steps, model.string());
  }
  return true;
}

}  // namespace loraptor::train
