// The learning rate over a run, as a pure function of the step: resuming needs nothing.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "optim/schedule_config.h"

namespace loraptor::optim {

/// What is in force at a schedule index: optimizer steps that really happened before this one, times the number of
/// processes.
class LrSchedule {
 public:
  using Rate = std::function<double(int64_t index, double base_lr)>;
  using Momentum = std::function<double(int64_t index)>;

  LrSchedule() = default;
  template <std::convertible_to<Rate> Function>
  LrSchedule(Function rate, Momentum momentum = {}) : rate_(std::move(rate)), momentum_(std::move(momentum)) {}

  /// The learning rate.
  ///   base_lr   the group's base learning rate
  /// Most schedules return base_lr times a factor of the index; OneCycleLR, CyclicLR and CosineAnnealing* do not.
  double operator()(int64_t index, double base_lr) const { return rate_(index, base_lr); }

  /// The momentum, or first beta; nothing where the optimizer keeps its own: all but OneCycleLR and CyclicLR.
  std::optional<double> momentum(int64_t index) const {
    return momentum_ ? std::optional(momentum_(index)) : std::nullopt;
  }

 private:
  Rate rate_;
  Momentum momentum_;
};

/// What a schedule knows about its run.
struct ScheduleRun {
  int64_t max_train_steps = 0;  // optimizer steps
  int64_t processes = 1;        // the index advances by this much a step
  double learning_rate = 0;     // --learning_rate, the reference level of `polynomial` and of `min_lr`
};

/// Makes the schedule that `config` names: `lr_scheduler_type` (a class of torch.optim.lr_scheduler) if set, else
/// `lr_scheduler`.
/// Throws UsageError for unknown names and arguments, for a warm-up where none is possible, and for missing arguments.
/// Ref: sd-scripts@48d368f library/train_util.py:get_scheduler_fix; transformers 4.54 optimization.py.
LrSchedule create_lr_schedule(const ScheduleConfig& config, const ScheduleRun& run);

/// The schedule of optimizers that have their own (schedule-free, Adafactor's relative step): always the base rate.
LrSchedule constant_lr_schedule();

/// Warm-up or decay length in schedule indices: a fraction is of all steps of all processes, rounded down.
int64_t schedule_length(const StepsOrFraction& length, const ScheduleRun& run);

/// Whether the schedule that `config` names looks at an option of the schedule group (its name, no dashes).
/// Throws UsageError for an unknown schedule.
bool lr_schedule_reads(const ScheduleConfig& config, std::string_view option);

/// Names of `--lr_scheduler`, and of `--lr_scheduler_type`.
std::vector<std::string> lr_schedule_names();
std::vector<std::string> lr_schedule_class_names();

}  // namespace loraptor::optim
