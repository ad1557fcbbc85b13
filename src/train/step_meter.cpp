#include "train/step_meter.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace loraptor::train {
namespace {

constexpr int64_t kTimesteps = 1000;

}  // namespace

void TimestepBands::add(const StepLoss& loss) {
  const auto timesteps = loss.timesteps.to(at::kCPU, at::kFloat).contiguous();
  const auto losses = loss.samples.to(at::kCPU, at::kFloat).contiguous();
  for (int64_t i = 0; i < losses.numel(); ++i) {
    const float share = timesteps.const_data_ptr<float>()[i] / kTimesteps;
    const auto band = static_cast<size_t>(std::clamp(share, 0.0f, 0.999f) * kCount);
    numbers_[band] += losses.const_data_ptr<float>()[i];
    numbers_[kCount + band] += 1;
  }
}

void TimestepBands::sum_over(dist::ProcessGroup& processes) {
  auto all = at::tensor(numbers_, at::kDouble);
  processes.sum(all);
  for (size_t i = 0; i < numbers_.size(); ++i) numbers_[i] = all[static_cast<int64_t>(i)].item<double>();
}

void TimestepBands::restore(const std::vector<double>& numbers) {
  numbers_ = numbers;
  numbers_.resize(2 * kCount);
}

int64_t TimestepBands::images() const {
  double count = 0;
  for (size_t band = 0; band < kCount; ++band) count += numbers_[kCount + band];
  return static_cast<int64_t>(count);
}

report::NamedNumbers TimestepBands::means() const {
  report::NamedNumbers means;
  for (size_t band = 0; band < kCount; ++band) {
    if (numbers_[kCount + band] == 0) continue;
    const size_t width = kTimesteps / kCount;
    means.emplace_back(fmt::format("{}-{}", band * width, (band + 1) * width),
                       numbers_[band] / numbers_[kCount + band]);
  }
  return means;
}

void StepMeter::finish_step(report::StepRecord& record, int64_t steps_left, dist::ProcessGroup& processes) {
  if (processes.size() > 1) bands_.sum_over(processes);
  const double all = since_step_.seconds();
  record.seconds = all - std::exchange(paused_seconds_, 0.0);
  record.data_seconds = data_seconds_;
  record.images = bands_.images();
  record.timestep_losses = bands_.means();
  record.peak_memory = peak_memory();
  all_seconds_ += all;
  record.seconds_left = all_seconds_ / static_cast<double>(++steps_) * static_cast<double>(steps_left);
  data_seconds_ = 0;
  bands_ = {};
  since_step_ = Stopwatch();
}

int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace loraptor::train
