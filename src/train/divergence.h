// Noticing that a loss is lost: no number any more, or far above what it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "train/train_state.h"

namespace loraptor::train {

/// The loss or the gradient of a step is lost; the message names step, images and the place where it began.
class Divergence : public RunError {
 public:
  using RunError::RunError;
};

/// Watches the losses of the steps. A single high loss is normal (few timesteps have a large weight); five in a row
/// above a hundred times the median of the last 64 are not.
class LossWatch {
 public:
  /// Adds the loss of a step, a finite number. Returns whether the loss explodes.
  bool explodes(double loss);

  /// Whether the latest loss was an ordinary one.
  bool is_calm() const { return far_ == 0; }

  double median() const;
  void save(TrainState& state) const;
  void restore(const TrainState& state);

 private:
  std::vector<double> recent_;
  int64_t far_ = 0;
};

/// Where in the run something was lost.
struct LostPlace {
  int64_t step;                    // from 1
  std::vector<std::string> stems;  // images of the micro-step; empty: not one micro-step's fault
  std::string module;              // where it began, as people read it; may be empty
  std::string good_state;          // folder of the last saved state; empty: none
  bool rolls_back = false;         // --on_nan rollback is on
};

Divergence lost_loss(double loss, const LostPlace& place);
Divergence lost_gradient(double norm, const LostPlace& place);
Divergence lost_scale(double scale, const LostPlace& place);
Divergence exploded_loss(double loss, double median, const LostPlace& place);

}  // namespace loraptor::train
