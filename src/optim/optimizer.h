// The seam between the training loop and the optimizers.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optim/optimizer_config.h"
#include "optim/param_group.h"

namespace loraptor::optim {

/// Updates the parameters of its groups from their gradients. Refers to the groups it was made with: they must outlive
/// it. Gradients are neither clipped nor zeroed here.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One update.
  ///   lrs   learning rate of each group, schedule applied
  virtual void step(const std::vector<double>& lrs) = 0;

  /// Replaces the momentum, or first beta, of the steps from now on (LrSchedule::momentum). False where it cannot be
  /// replaced: the optimizer keeps its own then.
  virtual bool set_momentum(double) { return false; }

  /// Everything needed to go on exactly: "<parameter>.<key>" for tensors of a parameter, "<key>" (float64, no
  /// dimensions) for numbers of the whole optimizer. Tensors are copies of the live ones.
  virtual std::map<std::string, at::Tensor> state_dict() const = 0;

  /// Puts such a state back. Throws RunError if a tensor is missing, superfluous or has another shape or dtype.
  virtual void load_state_dict(const std::map<std::string, at::Tensor>& state) = 0;

  /// Schedule-free optimizers: switch the parameters to the averaged point (before sampling, validation and saving) and
  /// back to the training point. No effect on others, nor if that mode is on already.
  virtual void train() {}
  virtual void eval() {}

  /// Numbers for the log, one per group: "d" (estimated step size of Prodigy and D-Adaptation), "lr" (the learning rate
  /// Adafactor chose), and others. Empty for most.
  virtual std::map<std::string, std::vector<double>> statistics() const { return {}; }

  /// Class and arguments in Python notation, as the metadata record them:
  /// "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))", without parentheses if there are no arguments.
  virtual std::string description() const = 0;
};

/// Makes the optimizer of a run, in training mode.
///   groups   must outlive it; flat buffers float32, or 16 bit (then states are float32 and weights are rounded on
///            storing: stochastically in bfloat16)
///   seed     of the stochastic rounding
/// Throws UsageError for an unknown type or argument.
std::unique_ptr<Optimizer> create_optimizer(const OptimizerConfig& config, std::vector<ParamGroup>& groups,
                                            uint64_t seed = 0);

/// What the training loop must know about an optimizer type before it exists.
struct OptimizerTraits {
  std::string type;            // as the user wrote it; "AdamW" if nothing was said, resolved old spellings
  bool own_schedule = false;   // it sets its own learning rate: groups' rates and the schedule are unused (Adafactor)
  bool schedule_free = false;  // schedule options are ignored, eval() before sampling, saving, validation
  bool estimates_d = false;    // learns its step size: base learning rates should be about 1
};

/// Throws UsageError for an unknown type or argument.
OptimizerTraits optimizer_traits(const OptimizerConfig& config);

/// Throws UsageError if the optimizer estimates one step size for all groups and their learning rates differ (0 aside).
void check_rates(const OptimizerConfig& config, const std::vector<double>& rates);

/// Names that `--optimizer_type` knows, for help and suggestions.
std::vector<std::string> optimizer_names();

}  // namespace loraptor::optim
