// The functions behind the schedule registry: each reads its arguments and returns the schedule.
#pragma once

#include <cstdint>
#include <string>

#include "optim/keyword_args.h"
#include "optim/lr_schedule.h"

namespace loraptor::optim {

/// What a maker may use. `warmup`, `decay`, `total` count schedule indices.
struct ScheduleRequest {
  KeywordArgs& args;
  const ScheduleConfig& config;
  const ScheduleRun& run;
  int64_t warmup = 0;
  int64_t decay = 0;
  int64_t total = 0;
};

// Named schedules (lr_schedule_named.cpp). All start with a linear warm-up n / warmup unless noted.
LrSchedule make_constant(ScheduleRequest& request);  // no warm-up
LrSchedule make_constant_with_warmup(ScheduleRequest& request);
LrSchedule make_linear(ScheduleRequest& request);                // to 0 at the end
LrSchedule make_cosine(ScheduleRequest& request);                // half a wave to 0
LrSchedule make_cosine_with_restarts(ScheduleRequest& request);  // lr_scheduler_num_cycles half waves, each from 1
LrSchedule make_polynomial(ScheduleRequest& request);            // to lr_end (1e-7) with lr_scheduler_power
LrSchedule make_inverse_sqrt(ScheduleRequest& request);          // 1 / sqrt, lr_scheduler_timescale
LrSchedule make_cosine_with_min_lr(ScheduleRequest& request);    // lr_scheduler_min_lr_ratio, min_lr or min_lr_rate
LrSchedule make_warmup_stable_decay(ScheduleRequest& request);   // warmup_type, decay_type: linear, cosine, 1-sqrt
LrSchedule make_piecewise_constant(ScheduleRequest& request);    // step_rules='1:10,0.1:20,0.01', no warm-up

// Classes of torch.optim.lr_scheduler in closed form (lr_schedule_classes.cpp); arguments as in PyTorch 2.11.
LrSchedule make_step_lr(ScheduleRequest& request);
LrSchedule make_multi_step_lr(ScheduleRequest& request);
LrSchedule make_constant_lr(ScheduleRequest& request);
LrSchedule make_linear_lr(ScheduleRequest& request);
LrSchedule make_exponential_lr(ScheduleRequest& request);
LrSchedule make_polynomial_lr(ScheduleRequest& request);
LrSchedule make_cosine_annealing_lr(ScheduleRequest& request);
LrSchedule make_cosine_annealing_warm_restarts(ScheduleRequest& request);
LrSchedule make_one_cycle_lr(ScheduleRequest& request);
LrSchedule make_cyclic_lr(ScheduleRequest& request);

}  // namespace loraptor::optim
