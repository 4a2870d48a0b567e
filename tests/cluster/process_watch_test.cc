// Watches processes that end, that are stopped, and that have ended before anybody looked.
#include "cluster/launch/process_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>

namespace uhd {
namespace {

constexpr std::chrono::seconds kLimit(60);

// A process that does nothing until it is killed; it shares nothing with this one.
class Sleeper {
 public:
  Sleeper() {
    pid_ = fork();
    if (pid_ == 0) {
      execl("/bin/sleep", "sleep", "600", nullptr);
      _exit(1);
    }
  }
  ~Sleeper() { end(); }
  ProcessId id() const { return process_of(pid_); }
  void signal(int number) const { kill(pid_, number); }
  void end() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST(ProcessWatch, SaysWhichProcessHasEnded) {
  Sleeper one, other;
  std::promise<size_t> ended;
  auto heard = ended.get_future();
  const ProcessWatch watch({one.id(), other.id()}, [&](size_t peer) { ended.set_value(peer); });
  one.signal(SIGSTOP);  // stopping is not ending
  EXPECT_EQ(heard.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  other.signal(SIGKILL);
  ASSERT_EQ(heard.wait_for(kLimit), std::future_status::ready);
  EXPECT_EQ(heard.get(), 1u);
}

TEST(ProcessWatch, AProcessThatHadEndedIsFoundMissing) {
  Sleeper gone;
  ProcessId id = gone.id();
  gone.end();
  std::promise<size_t> ended;
  auto heard = ended.get_future();
  const ProcessWatch watch({id}, [&](size_t peer) { ended.set_value(peer); });
  ASSERT_EQ(heard.wait_for(kLimit), std::future_status::ready);
}

TEST(ProcessWatch, ANumberThatWasGivenAwayIsNotTheProcess) {
  const Sleeper other;
  ProcessId id = other.id();
  id.started += 1;
  std::promise<size_t> ended;
  auto heard = ended.get_future();
  const ProcessWatch watch({id}, [&](size_t peer) { ended.set_value(peer); });
  ASSERT_EQ(heard.wait_for(kLimit), std::future_status::ready);
}

TEST(ProcessWatch, EndsWhileEverybodyRuns) {
  const Sleeper one;
  const ProcessWatch watch({one.id()}, [](size_t) { FAIL() << "it runs"; });
}

}  // namespace
}  // namespace uhd
