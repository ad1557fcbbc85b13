#include "train/train_plan.h"

#include <algorithm>

#include "base/error.h"
#include "train/precision.h"

namespace loraptor::train {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

TrainPlan make_train_plan(const TrainConfig& config, int64_t batches_per_epoch, int64_t processes) {
  if (batches_per_epoch == 0) {
    throw UsageError(
        "[data set] no images: got 0 batches, expected at least 1.\n"
        "Hint: check image_dir in the data set file (or the folders <repeats>_<name> inside --train_data_dir).");
  }
  TrainPlan plan{};
  plan.batches_per_epoch = batches_per_epoch;
  plan.processes = processes;
  plan.accumulation = config.loop.gradient_accumulation_steps * processes;
  plan.steps_per_epoch = divide_up(batches_per_epoch, plan.accumulation);
  plan.max_steps =
      config.loop.max_train_epochs ? *config.loop.max_train_epochs * plan.steps_per_epoch : config.loop.max_train_steps;
  plan.epochs = divide_up(plan.max_steps, plan.steps_per_epoch);
  plan.ends_with_epochs = has_compat(config, "step_count");
  plan.save_every_n_epochs = config.saving.save_every_n_epochs;
  if (config.saving.save_n_epoch_ratio.value_or(0) > 0) {
    plan.save_every_n_epochs = std::max<int64_t>(1, plan.epochs / *config.saving.save_n_epoch_ratio);
  }
  return plan;
}

}  // namespace loraptor::train
