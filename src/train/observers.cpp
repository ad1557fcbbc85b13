#include "train/observers.h"

#include "base/log.h"

namespace loraptor::train {

std::unique_ptr<Observers> make_observers(const TrainConfig& config, const TrainPlan& plan) {
  return std::make_unique<Observers>();
}

void StageProgress::update(int64_t done, int64_t total) {
  constexpr double kSecondsBetweenLines = 5;
  const double now = watch_.seconds();
  if (now - last_line_ < kSecondsBetweenLines || done == 0) return;
  last_line_ = now;
  const double left = now / static_cast<double>(done) * static_cast<double>(total - done);
  log::info("{}: {} of {}, {} left", what_, done, total, format_duration(left));
}

}  // namespace loraptor::train
