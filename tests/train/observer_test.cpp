// What happens to the run, and to the other observers, when one of them fails.
#include "train/observer.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace loraptor::train {
namespace {

class FullDisk : public TrainObserver {
  void start(const TrainState&) override { fail(); }
  void step(const report::StepRecord&) override { fail(); }
  void end(const TrainState&) override { fail(); }
  static void fail() { throw FileError("log.jsonl", "cannot be written: No space left on device."); }
};

class Counter : public TrainObserver {
 public:
  explicit Counter(int& events) : events_(events) {}
  void step(const report::StepRecord&) override { ++events_; }
  void end(const TrainState&) override { ++events_; }

 private:
  int& events_;
};

TEST(Observers, AReportThatCannotBeWrittenEndsNoTraining) {
  int events = 0;
  Observers observers;
  observers.add(std::make_unique<FullDisk>());
  observers.add(std::make_unique<Counter>(events));
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) observers.step({});
  observers.end({});
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(events, 4) << "the others go on";
  EXPECT_NE(told.find("[log.jsonl] cannot be written: No space left on device."), std::string::npos) << told;
  EXPECT_EQ(told.find("log.jsonl"), told.rfind("log.jsonl")) << "told once: " << told;
}

TEST(Observers, AReportThatCannotBeBegunIsAnError) {
  Observers observers;
  observers.add(std::make_unique<FullDisk>());
  EXPECT_THROW(observers.start({}), FileError);
}

}  // namespace
}  // namespace loraptor::train
