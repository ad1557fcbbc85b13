// What is measured of each optimizer step beside its loss: time, images, memory, and the loss by timestep.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "dist/process_group.h"
#include "report/metric.h"
#include "train/train_step.h"

namespace loraptor::train {

/// Sums of the losses of images whose timestep lies in one of four equal parts of 0 .. 1000. The loss of one step says
/// little, because it depends on the drawn timesteps most of all; within a band it can be compared.
class TimestepBands {
 public:
  static constexpr size_t kCount = 4;

  void add(const StepLoss& loss);
  /// Adds those of the other processes.
  void sum_over(dist::ProcessGroup& processes);

  /// Sums, then counts: what a state keeps of an unfinished step.
  const std::vector<double>& numbers() const { return numbers_; }
  void restore(const std::vector<double>& numbers);

  int64_t images() const;
  /// "0-250" and so on with their means; bands without an image are left out.
  report::NamedNumbers means() const;

 private:
  std::vector<double> numbers_ = std::vector<double>(2 * kCount);
};

class StepMeter {
 public:
  void waited_for_data(double seconds) { data_seconds_ += seconds; }
  TimestepBands& bands() { return bands_; }
  const TimestepBands& bands() const { return bands_; }

  /// What happens while it lives (saving, samples, validation) is no part of a step.
  class Pause {
   public:
    explicit Pause(StepMeter& meter) : meter_(meter) {}
    ~Pause() { meter_.paused_seconds_ += watch_.seconds(); }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    StepMeter& meter_;
    Stopwatch watch_;
  };

  /// Fills in what was measured since the last call and begins anew. The time left counts pauses as they were so far.
  ///   steps_left   of the run
  void finish_step(report::StepRecord& record, int64_t steps_left, dist::ProcessGroup& processes);

 private:
  Stopwatch since_step_;
  double data_seconds_ = 0, paused_seconds_ = 0;
  double all_seconds_ = 0;  // of all steps, with pauses
  int64_t steps_ = 0;
  TimestepBands bands_;
};

/// Most bytes of host memory that this process has held at one time, mapped files included.
int64_t peak_memory();

}  // namespace loraptor::train
