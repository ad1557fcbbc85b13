// The first signal is noted, the second ends the process.
#include "base/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace loraptor {
namespace {

TEST(StopSignals, NoteTheFirst) {
  const StopSignals signals;
  EXPECT_EQ(signals.received(), 0);
  ::raise(SIGTERM);
  EXPECT_EQ(signals.received(), SIGTERM);
}

TEST(StopSignals, EndTheProcessAtTheSecond) {
  const auto interrupt_twice = [] {
    const StopSignals signals;
    ::raise(SIGINT);
    ::raise(SIGTERM);
  };
  EXPECT_EXIT(interrupt_twice(), testing::ExitedWithCode(128 + SIGTERM), "second signal leaves at once");
}

TEST(StopSignals, TheSameSignalAtOnceIsAnEcho) {
  const StopSignals signals;
  ::raise(SIGTERM);  // to the group of processes
  ::raise(SIGTERM);  // and passed on by the launcher
  EXPECT_EQ(signals.received(), SIGTERM);
}

TEST(StopSignals, TheSameSignalLaterEndsTheProcess) {
  const auto interrupt_again = [] {
    const StopSignals signals;
    ::raise(SIGINT);
    ::usleep(200'000);
    ::raise(SIGINT);
  };
  EXPECT_EXIT(interrupt_again(), testing::ExitedWithCode(128 + SIGINT), "");
}

TEST(StopSignals, GiveTheHandlersBack) {
  struct sigaction before = {}, after = {};
  ::sigaction(SIGINT, nullptr, &before);
  { const StopSignals signals; }
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

}  // namespace
}  // namespace loraptor
