// The progress line.
#include "report/progress_bar.h"

#include <gtest/gtest.h>

#include "report/run_summary.h"

namespace loraptor {
namespace {

TEST(ProgressBar, LooksLikeTqdm) {
  EXPECT_EQ(report::progress_line("steps", 12, 100, 0, 10.9, "avr_loss=0.123"),
            "steps:  12%|█▏        | 12/100 [00:10<01:19,  1.10it/s, avr_loss=0.123]");
}

TEST(ProgressBar, SlowStepsShowSecondsPerStep) {
  EXPECT_EQ(report::progress_line("steps", 2, 4, 0, 5.0, ""), "steps:  50%|█████     | 2/4 [00:05<00:05,  2.50s/it]");
}

TEST(ProgressBar, BeginningKnowsNoSpeed) {
  EXPECT_EQ(report::progress_line("steps", 0, 3, 0, 0.0, ""), "steps:   0%|          | 0/3 [00:00<?, ?it/s]");
}

TEST(ProgressBar, EndIsFull) {
  EXPECT_EQ(report::progress_line("steps", 3, 3, 0, 3.0, ""), "steps: 100%|██████████| 3/3 [00:03<00:00,  1.00it/s]");
}

TEST(ProgressBar, ResumedRunCountsOnButMeasuresItsOwnSpeed) {
  EXPECT_EQ(report::progress_line("steps", 60, 100, 50, 10.0, ""),
            "steps:  60%|██████    | 60/100 [00:10<00:40,  1.00it/s]");
}

TEST(RunSummary, ColumnsAreAligned) {
  const std::string text = report::format_summary(
      {{"Optimizer", {{"optimizer_type", "AdamW", ""}, {"learning_rate", "0.0001", "command line"}}}, {"Empty", {}}});
  EXPECT_EQ(text,
            "Optimizer\n"
            "  optimizer_type  AdamW\n"
            "  learning_rate   0.0001  [command line]\n");
}

}  // namespace
}  // namespace loraptor
