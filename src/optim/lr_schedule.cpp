// The list of learning-rate schedules.
#include "optim/lr_schedule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/suggest.h"
#include "optim/lr_schedule_makers.h"

namespace loraptor::optim {
namespace {

enum class WarmUp { yes, refused, unused };

struct Row {
  const char* name;
  WarmUp warm_up;
  LrSchedule (*make)(ScheduleRequest&);
  std::vector<std::string_view> options{};  // further ones that it reads
};

// clang-format off
const Row kNamed[] = {
    {"constant", WarmUp::refused, make_constant},
    {"constant_with_warmup", WarmUp::yes, make_constant_with_warmup},
    {"linear", WarmUp::yes, make_linear},
    {"cosine", WarmUp::yes, make_cosine},
    {"cosine_with_restarts", WarmUp::yes, make_cosine_with_restarts, {"lr_scheduler_num_cycles"}},
    {"polynomial", WarmUp::yes, make_polynomial, {"lr_scheduler_power"}},
    {"inverse_sqrt", WarmUp::yes, make_inverse_sqrt, {"lr_scheduler_timescale"}},
    {"cosine_with_min_lr", WarmUp::yes, make_cosine_with_min_lr,
     {"lr_scheduler_num_cycles", "lr_scheduler_min_lr_ratio"}},
    {"warmup_stable_decay", WarmUp::yes, make_warmup_stable_decay,
     {"lr_decay_steps", "lr_scheduler_num_cycles", "lr_scheduler_min_lr_ratio"}},
    {"piecewise_constant", WarmUp::unused, make_piecewise_constant},
};
const Row kClasses[] = {
    {"StepLR", WarmUp::refused, make_step_lr},
    {"MultiStepLR", WarmUp::refused, make_multi_step_lr},
    {"ConstantLR", WarmUp::refused, make_constant_lr},
    {"LinearLR", WarmUp::refused, make_linear_lr},
    {"ExponentialLR", WarmUp::refused, make_exponential_lr},
    {"PolynomialLR", WarmUp::refused, make_polynomial_lr},
    {"CosineAnnealingLR", WarmUp::refused, make_cosine_annealing_lr},
    {"CosineAnnealingWarmRestarts", WarmUp::refused, make_cosine_annealing_warm_restarts},
    {"OneCycleLR", WarmUp::refused, make_one_cycle_lr},
    {"CyclicLR", WarmUp::refused, make_cyclic_lr},
};
// clang-format on

template <size_t N>
std::vector<std::string> names_of(const Row (&rows)[N]) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

template <size_t N>
const Row& find_row(const Row (&rows)[N], const std::string& name, std::string_view flag) {
  for (const auto& row : rows) {
    if (name == row.name) return row;
  }
  const auto names = names_of(rows);
  const std::string nearest = did_you_mean(name, names);
  throw UsageError(fmt::format("[{}] unknown schedule: got '{}', expected one of {}.{}{}", flag, name,
                               fmt::join(names, ", "), nearest.empty() ? "" : "\nHint: ", nearest));
}

const Row& row_of(const ScheduleConfig& config) {
  if (!config.lr_scheduler_type.empty()) {
    std::string name = config.lr_scheduler_type;
    for (const std::string_view prefix : {"torch.optim.lr_scheduler.", "lr_scheduler."}) {
      if (name.starts_with(prefix)) name.erase(0, prefix.size());
    }
    return find_row(kClasses, name, "--lr_scheduler_type");
  }
  if (config.lr_scheduler.starts_with("adafactor")) {
    throw UsageError(
        "[--lr_scheduler] 'adafactor' is set automatically: got it as an option, expected another schedule.\n"
        "Hint: --optimizer_type Adafactor uses it by itself unless --optimizer_args relative_step=False is given.");
  }
  return find_row(kNamed, config.lr_scheduler, "--lr_scheduler");
}

}  // namespace

int64_t schedule_length(const StepsOrFraction& length, const ScheduleRun& run) {
  if (!length.is_fraction) return static_cast<int64_t>(length.value);
  return static_cast<int64_t>(length.value * static_cast<double>(run.max_train_steps * run.processes));
}

LrSchedule constant_lr_schedule() {
  return [](int64_t, double base_lr) { return base_lr; };
}

LrSchedule create_lr_schedule(const ScheduleConfig& config, const ScheduleRun& run) {
  const Row& row = row_of(config);
  KeywordArgs args(config.lr_scheduler_args, "--lr_scheduler_args");
  ScheduleRequest request{args, config, run};
  request.warmup = schedule_length(config.lr_warmup_steps, run);
  request.decay = schedule_length(config.lr_decay_steps, run);
  request.total = run.max_train_steps * run.processes;
  if (request.warmup != 0 && row.warm_up == WarmUp::refused) {
    throw UsageError(fmt::format(
        "[--lr_warmup_steps] '{}' has no warm-up: got {} steps, expected 0.\nHint: --lr_scheduler constant_with_warmup "
        "warms up and then stays constant.",
        row.name, request.warmup));
  }
  if (args.has("last_epoch")) args.without_effect("last_epoch", "resuming is by state");
  LrSchedule schedule = row.make(request);
  args.finish(row.name);
  return schedule;
}

bool lr_schedule_reads(const ScheduleConfig& config, std::string_view option) {
  if (option == "lr_scheduler") return config.lr_scheduler_type.empty();
  if (option == "lr_scheduler_type" || option == "lr_scheduler_args") return true;
  const Row& row = row_of(config);
  if (option == "lr_warmup_steps") return row.warm_up != WarmUp::unused;
  return std::find(row.options.begin(), row.options.end(), option) != row.options.end();
}

std::vector<std::string> lr_schedule_names() { return names_of(kNamed); }
std::vector<std::string> lr_schedule_class_names() { return names_of(kClasses); }

}  // namespace loraptor::optim
