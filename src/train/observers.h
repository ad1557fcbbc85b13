// The observers of a run: progress line, JSON lines, TensorBoard, report page.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "train/observer.h"
#include "train/train_config.h"
#include "train/train_plan.h"

namespace loraptor::train {

/// Those that `config` asks for; the progress line always.
std::unique_ptr<Observers> make_observers(const TrainConfig& config, const TrainPlan& plan);

/// Tells how far a preparing stage is, every few seconds, with the time left.
class StageProgress {
 public:
  explicit StageProgress(std::string what) : what_(std::move(what)) {}
  void update(int64_t done, int64_t total);

 private:
  std::string what_;
  Stopwatch watch_;
  double last_line_ = 0;
};

}  // namespace loraptor::train
