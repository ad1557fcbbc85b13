// What a step's record says beside its loss.
#include "train/step_meter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace loraptor::train {
namespace {

StepLoss loss_at(std::vector<float> timesteps, std::vector<float> losses) {
  const auto samples = at::tensor(losses);
  return {samples.mean(), samples, at::tensor(timesteps)};
}

TEST(TimestepBands, means_of_the_images_in_each_band) {
  TimestepBands bands;
  bands.add(loss_at({0, 249.9f, 250, 1000}, {1, 3, 5, 7}));
  bands.add(loss_at({900}, {9}));
  const report::NamedNumbers want{{"0-250", 2}, {"250-500", 5}, {"750-1000", 8}};
  EXPECT_EQ(bands.means(), want);
  EXPECT_EQ(bands.images(), 5);
}

TEST(TimestepBands, an_unfinished_step_is_kept_in_a_state) {
  TimestepBands bands, again;
  bands.add(loss_at({600, 100}, {1, 2}));
  again.restore(bands.numbers());
  EXPECT_EQ(again.means(), bands.means());
  again.restore({});  // of a state from before they were kept
  EXPECT_EQ(again.images(), 0);
}

TEST(StepMeter, fills_a_record_and_begins_anew) {
  dist::ProcessGroup alone;
  StepMeter meter;
  meter.bands().add(loss_at({10, 20}, {1, 2}));
  meter.waited_for_data(0.5);
  report::StepRecord record;
  meter.finish_step(record, 10, alone);
  EXPECT_EQ(record.images, 2);
  EXPECT_EQ(record.data_seconds, 0.5);
  EXPECT_DOUBLE_EQ(record.seconds_left, 10 * record.seconds);
  EXPECT_GT(record.peak_memory, 1 << 20);
  meter.finish_step(record, 9, alone);
  EXPECT_EQ(record.images, 0);
  EXPECT_EQ(record.data_seconds, 0);
}

TEST(StepMeter, leaves_pauses_out_of_the_step_but_not_of_the_time_left) {
  constexpr double kPause = 0.05;
  dist::ProcessGroup alone;
  const Stopwatch all;
  StepMeter meter;
  {
    const StepMeter::Pause pause(meter);
    std::this_thread::sleep_for(std::chrono::duration<double>(kPause));
  }
  report::StepRecord record;
  meter.finish_step(record, 10, alone);
  EXPECT_LE(record.seconds, all.seconds() - kPause);
  EXPECT_GE(record.seconds_left, 10 * kPause);
  meter.finish_step(record, 0, alone);
  EXPECT_GE(record.seconds, 0);
}

}  // namespace
}  // namespace loraptor::train
