// Mistyped names find their neighbours.
#include "base/suggest.h"

#include <gtest/gtest.h>

namespace loraptor {
namespace {

const std::vector<std::string> kNames = {"learning_rate", "network_dim", "network_alpha", "resolution"};

TEST(Suggest, FindsTheNearestName) {
  EXPECT_EQ(nearest_names("lerning_rate", kNames).front(), "learning_rate");
  EXPECT_EQ(nearest_names("network_dims", kNames).front(), "network_dim");
}

TEST(Suggest, StaysSilentWhenNothingIsNear) {
  EXPECT_TRUE(nearest_names("xyzzy", kNames).empty());
  EXPECT_EQ(did_you_mean("xyzzy", kNames), "");
}

TEST(Suggest, WritesAQuestion) { EXPECT_EQ(did_you_mean("resolutoin", kNames), "Did you mean 'resolution'?"); }

}  // namespace
}  // namespace loraptor
