// Settings of the learning-rate schedule.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::optim {

/// A number of optimizer steps, or a fraction of all steps.
struct StepsOrFraction {
  double value = 0;
  bool is_fraction = false;  // also decides how the metadata print it: 0 or 0.0

  bool operator==(const StepsOrFraction&) const = default;
};

/// Field names are the flags' names without dashes.
struct ScheduleConfig {
  std::string lr_scheduler = "constant";            // name of the schedule
  std::string lr_scheduler_type;                    // class of torch.optim.lr_scheduler; wins over `lr_scheduler`
  std::vector<std::string> lr_scheduler_args;       // key=value items, values are Python literals
  StepsOrFraction lr_warmup_steps;                  // warm-up length
  StepsOrFraction lr_decay_steps;                   // decay length of `warmup_stable_decay`
  int64_t lr_scheduler_num_cycles = 1;              // restarts or half waves
  double lr_scheduler_power = 1;                    // exponent of `polynomial`
  std::optional<int64_t> lr_scheduler_timescale;    // of `inverse_sqrt`; unset: the warm-up, or 10000 without one
  std::optional<double> lr_scheduler_min_lr_ratio;  // floor as a fraction of the base learning rate
};

}  // namespace loraptor::optim
