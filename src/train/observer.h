// Who watches a run: progress line, log files, report page. The loop tells them what happened and never names them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/log.h"
#include "io/image.h"
#include "report/metric.h"
#include "train/train_state.h"

namespace loraptor::train {

/// One generated image, already written.
struct SampledImage {
  std::filesystem::path path;
  std::string prompt;
  std::string moment;  // "e000001", "000100": as in the file name
  int64_t number = 0;  // of the prompt in its file
};

/// One validation run.
struct ValidationRecord {
  int64_t step;
  int64_t epoch;
  bool is_epoch_end;  // else it came by the number of steps
  double loss;
  double training;              // the running average of the training loss
  std::optional<double> fixed;  // loss with draws that are the same in all runs (--validation_fixed_noise)
};

class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void start(const TrainState&) {}
  virtual void epoch_start(int64_t /*epoch*/) {}
  virtual void step(const report::StepRecord&) {}
  virtual void epoch_end(int64_t /*epoch*/, double /*average loss*/) {}
  virtual void validated(const ValidationRecord&) {}
  virtual void sampled(int64_t /*step*/, const SampledImage&) {}
  virtual void saved(const std::filesystem::path&) {}
  /// The run goes on from an earlier state: what was reported of later steps does not count.
  virtual void rolled_back(const TrainState&) {}
  /// The run ends before its time and may be resumed.
  virtual void stopped(const TrainState&) {}
  virtual void end(const TrainState&) {}
};

/// Passes every event on to all members, in the order they were added. A report that cannot be written once the run has
/// started (a full disk) does not end it: the reason is told, once, and the others go on. `start` throws as members do.
class Observers : public TrainObserver {
 public:
  void add(std::unique_ptr<TrainObserver> observer) { all_.push_back(std::move(observer)); }
  void start(const TrainState& state) override {
    for (auto& o : all_) o->start(state);
  }
  void epoch_start(int64_t epoch) override { tell(&TrainObserver::epoch_start, epoch); }
  void step(const report::StepRecord& record) override { tell(&TrainObserver::step, record); }
  void epoch_end(int64_t epoch, double average) override { tell(&TrainObserver::epoch_end, epoch, average); }
  void validated(const ValidationRecord& record) override { tell(&TrainObserver::validated, record); }
  void sampled(int64_t step, const SampledImage& image) override { tell(&TrainObserver::sampled, step, image); }
  void saved(const std::filesystem::path& path) override { tell(&TrainObserver::saved, path); }
  void rolled_back(const TrainState& state) override { tell(&TrainObserver::rolled_back, state); }
  void stopped(const TrainState& state) override { tell(&TrainObserver::stopped, state); }
  void end(const TrainState& state) override { tell(&TrainObserver::end, state); }

 private:
  template <class Event, class... Facts>
  void tell(Event event, const Facts&... facts) {
    for (auto& observer : all_) {
      try {
        ((*observer).*event)(facts...);
      } catch (const std::exception& error) {
        log::warn_once(fmt::format("[reports] the training goes on, but {}", error.what()));
      }
    }
  }

  std::vector<std::unique_ptr<TrainObserver>> all_;
};

}  // namespace loraptor::train
