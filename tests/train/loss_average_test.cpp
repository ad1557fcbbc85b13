// The average covers the last epoch-length window.
#include "train/loss_average.h"

#include <gtest/gtest.h>

namespace loraptor::train {
namespace {

TEST(LossAverage, LaterEpochsReplaceTheirPlace) {
  LossAverage average;
  average.add(1, 0, 1.0);
  average.add(1, 1, 3.0);
  EXPECT_DOUBLE_EQ(average.average(), 2.0);
  average.add(2, 0, 5.0);
  EXPECT_DOUBLE_EQ(average.average(), 4.0);
}

TEST(LossAverage, PlacesThatWereNeverSeenCountAsZero) {
  LossAverage average;
  average.add(2, 1, 4.0);
  EXPECT_DOUBLE_EQ(average.average(), 2.0);
}

TEST(LossAverage, IsZeroBeforeTheFirstLoss) { EXPECT_DOUBLE_EQ(LossAverage().average(), 0.0); }

}  // namespace
}  // namespace loraptor::train
