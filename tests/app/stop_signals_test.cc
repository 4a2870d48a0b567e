// A SIGHUP ends no process, and is not lost while nobody has asked for it. A process has one StopSignals,
// made before other threads are: each case runs in a process of its own.
#include "app/stop_signals.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>

namespace uhd {
namespace {

constexpr Duration kGlance = std::chrono::milliseconds(1);

TEST(StopSignalsTest, ASighupThatComesEarlyIsToldLater) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto process = [] {
    StopSignals signals;
    kill(getpid(), SIGHUP);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::atomic<int> told = 0;
    signals.on_hangup([&] { ++told; });
    while (told == 0) std::this_thread::sleep_for(kGlance);
    kill(getpid(), SIGHUP);
    while (told == 1) std::this_thread::sleep_for(kGlance);
    signals.on_hangup({});
    _exit(told == 2 ? 0 : 1);
  };
  EXPECT_EXIT(process(), testing::ExitedWithCode(0), "");
}

TEST(StopSignalsTest, OtherSignalsEndTheProcessUntilTheyAreCounted) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto early = [] {
    StopSignals signals;
    kill(getpid(), SIGTERM);
    std::this_thread::sleep_for(std::chrono::minutes(1));
    _exit(1);
  };
  EXPECT_EXIT(early(), testing::ExitedWithCode(0), "");
  const auto late = [] {
    StopSignals signals;
    signals.count();
    kill(getpid(), SIGTERM);
    _exit(signals.wait(0, std::chrono::minutes(1)) == 1 ? 0 : 1);
  };
  EXPECT_EXIT(late(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace uhd
