#include "train/loss_average.h"

#include <numeric>

namespace loraptor::train {

void LossAverage::add(int64_t epoch, int64_t batch, double loss) {
  if (epoch == 1) {
    losses_.push_back(loss);
    return;
  }
  const auto slot = static_cast<size_t>(batch);
  if (losses_.size() <= slot) losses_.resize(slot + 1, 0.0);
  losses_[slot] = loss;
}

// Summed anew each time: a running sum would gather rounding errors and differ after a resume.
double LossAverage::average() const {
  return losses_.empty() ? 0.0
                         : std::accumulate(losses_.begin(), losses_.end(), 0.0) / static_cast<double>(losses_.size());
}

}  // namespace loraptor::train
