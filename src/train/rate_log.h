// What the optimizer says about its learning rates, as the logs show it.
#pragma once

#include <string>
#include <vector>

#include "optim/optimizer.h"
#include "report/metric.h"

namespace loraptor::train {

/// Fills `record.lrs` with the groups' rates, or those that the optimizer chose itself (Adafactor), and adds
/// "lr/d*lr/<group>" to its extras for optimizers that estimate a step size d.
///   rates   what the schedule gave to `optimizer.step`
/// Ref: sd-scripts@48d368f train_network.py:append_lr_to_logs, with group names in place of numbers.
void record_rates(const optim::Optimizer& optimizer, const std::vector<optim::ParamGroup>& groups,
                  const std::vector<double>& rates, report::StepRecord& record);

}  // namespace loraptor::train
