// The running loss average of the progress line: the mean over the last epoch-length window.
#pragma once

#include <cstdint>
#include <vector>

namespace loraptor::train {

/// In the first epoch losses are appended, later the slot of the same place in the epoch is overwritten.
/// Ref: sd-scripts@48d368f library/train_util.py:LossRecorder.
class LossAverage {
 public:
  /// epoch   counted from 1;  batch   place in the epoch, from 0
  void add(int64_t epoch, int64_t batch, double loss);
  double average() const;

  const std::vector<double>& losses() const { return losses_; }
  void restore(std::vector<double> losses) { losses_ = std::move(losses); }

 private:
  std::vector<double> losses_;
};

}  // namespace loraptor::train
