// The observers of a run: progress line, JSON lines, TensorBoard, report page.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "data/dataset.h"
#include "report/contact_sheet.h"
#include "report/run_summary.h"
#include "train/observer.h"
#include "train/train_config.h"
#include "train/train_plan.h"

namespace loraptor::train {

/// What the report page says about the run as a whole.
struct RunDescription {
  std::string subtitle;  // "SD3.5 Medium, 25 images, …"
  std::vector<report::SummarySection> settings;
  std::shared_future<report::ContactSheet> images{};  // to be shown; made while the run starts
};

/// The subtitle, the settings as they were given, each with its origin, and, for a report page, the images.
/// `dataset` must outlive the result.
RunDescription describe_run(const TrainConfig& config, std::string subtitle, const data::Dataset& dataset);

/// Those that `config` asks for; the progress line always.
std::unique_ptr<Observers> make_observers(const TrainConfig& config, const TrainPlan& plan, const RunDescription& run);

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
