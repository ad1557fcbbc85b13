// The two faces of a schedule-free optimizer: training point and averaged point.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "optim/stateful_optimizer.h"

namespace loraptor::optim {

/// Keeps the state "z" and switches the parameters between y (train) and x = y + (1 - 1/beta1)(z - y) (eval).
class AveragingOptimizer : public StatefulOptimizer {
 public:
  void train() override;
  void eval() override;
  /// Contains the training point as "<parameter>.y", in either mode.
  std::map<std::string, at::Tensor> state_dict() const override;
  /// Also puts the training point into the parameters, and goes to training mode.
  void load_state_dict(const std::map<std::string, at::Tensor>& state) override;

 protected:
  AveragingOptimizer(std::vector<ParamGroup>& groups, std::string description, double beta1);

  /// To be called first in each step: z starts as a copy of the parameters, and steps are for training mode only.
  void begin_step();

 private:
  double beta1_;
  std::vector<at::Tensor> kept_y_;  // while in eval mode
};

}  // namespace loraptor::optim
