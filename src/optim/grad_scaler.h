// Loss scaling for float16: keeps small gradients above the smallest float16 number.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <ATen/ATen.h>

namespace loraptor::optim {

/// The loss is multiplied by `scale()` before backward; gradients are divided by it before clipping (clip_grad_norm
/// does both in one pass). A step whose gradient norm is not finite is skipped and halves the scale; 2000 good steps in
/// a row double it. Ref: torch.amp.GradScaler with its defaults.
class GradScaler {
 public:
  /// Without `enabled` the scale is 1 for ever and no step is skipped.
  explicit GradScaler(bool enabled) : enabled_(enabled), scale_(enabled ? 65536.0 : 1.0) {}

  bool enabled() const { return enabled_; }
  double scale() const { return scale_; }

  /// Tells the outcome of a step.
  ///   grad_norm   norm of the gradients; infinite or NaN if any of them is
  /// Returns whether the optimizer step may happen. The learning-rate schedule must not advance otherwise.
  bool update(double grad_norm);

  /// Scale and number of good steps, as float64 scalars.
  std::map<std::string, at::Tensor> state_dict() const;
  void load_state_dict(const std::map<std::string, at::Tensor>& state);

 private:
  bool enabled_;
  double scale_;
  int64_t good_steps_ = 0;
};

}  // namespace loraptor::optim
