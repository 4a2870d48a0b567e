#include "cluster/encoders/liveness.h"

#include <gtest/gtest.h>

#include <future>

#include "cluster/encoders/watchdog.h"

namespace uhd {
namespace {

// Seconds since an arbitrary start.
TimePoint at(double s) { return TimePoint{} + from_seconds(s); }

LivenessLimits limits() {
  LivenessLimits l;
  l.lost_after = from_seconds(5);
  l.job_deadline = from_seconds(10);
  l.strikes = 2;
  return l;
}

class Liveness : public testing::Test {
 protected:
  // Heartbeats of encoder 1, once a second, in (from, to].
  void beat(double from, double to) {
    for (double t = from + 1; t <= to; ++t) state.heard(1, at(t));
  }
  EncoderLiveness state{limits()};
};

TEST_F(Liveness, AnEncoderThatIsHeardStays) {
  state.joined(1, at(0));
  for (int t = 1; t < 100; ++t) {
    EXPECT_TRUE(state.tick(at(t)).empty());
    state.heard(1, at(t));
  }
  EXPECT_EQ(state.encoders(), 1u);
}

TEST_F(Liveness, AQuietEncoderIsLostAtTheLimitAndOnce) {
  state.joined(1, at(0));
  state.joined(2, at(3));
  EXPECT_TRUE(state.tick(at(4.9)).empty());
  EXPECT_EQ(state.tick(at(5)).lost, std::vector<uint32_t>{1});
  EXPECT_TRUE(state.tick(at(6)).empty());
  EXPECT_EQ(state.encoders(), 1u);
}

TEST_F(Liveness, EventsCountWhenTheyHappenedNotWhenTheyWereRead) {
  state.joined(1, at(0));
  beat(0, 100);  // read late, by an engine that was busy
  EXPECT_TRUE(state.tick(at(104)).empty());
  state.heard(1, at(50));  // an old one changes nothing
  EXPECT_EQ(state.tick(at(105)).lost, std::vector<uint32_t>{1});
}

TEST_F(Liveness, AnOverdueJobIsReportedOnce) {
  state.joined(1, at(0));
  state.job_sent(1, 7, at(0));
  state.job_sent(1, 8, at(5));
  beat(0, 10);
  const auto verdict = state.tick(at(10));
  EXPECT_EQ(verdict.overdue, (std::vector<EncoderLiveness::Overdue>{{1, 7}}));
  EXPECT_TRUE(verdict.stuck.empty());
  EXPECT_TRUE(state.tick(at(11)).empty());
}

TEST_F(Liveness, TwoOverdueInARowMeanStuck) {
  state.joined(1, at(0));
  state.job_sent(1, 7, at(0));
  state.job_sent(1, 8, at(5));
  beat(0, 20);
  EXPECT_TRUE(state.tick(at(10)).stuck.empty());
  EXPECT_TRUE(state.tick(at(19.9)).empty()) << "the second had its turn at 10";
  const auto verdict = state.tick(at(20));
  EXPECT_EQ(verdict.overdue.size(), 1u);
  EXPECT_EQ(verdict.stuck, std::vector<uint32_t>{1});
  EXPECT_EQ(state.encoders(), 0u);
}

TEST_F(Liveness, ABusyEncoderWithAFullQueueIsNeverOverdue) {
  state.joined(1, at(0));
  for (uint64_t job = 1; job <= 16; ++job) state.job_sent(1, job, at(0));
  beat(0, 200);
  for (uint64_t job = 1; job <= 16; ++job) {
    const double answered = 9 * static_cast<double>(job);
    EXPECT_TRUE(state.tick(at(answered)).empty()) << "job " << job;
    state.job_answered(1, job, at(answered));
  }
  EXPECT_TRUE(state.tick(at(200)).empty());
}

TEST_F(Liveness, HoweverManyWaitBehindItALateJobCountsOnce) {
  state.joined(1, at(0));
  for (uint64_t job = 1; job <= 16; ++job) state.job_sent(1, job, at(0));
  beat(0, 10);
  const auto verdict = state.tick(at(10));
  EXPECT_EQ(verdict.overdue, (std::vector<EncoderLiveness::Overdue>{{1, 1}}));
  EXPECT_TRUE(verdict.stuck.empty());
}

TEST_F(Liveness, AnswersToLaterJobsDoNotExcuseTheOldest) {
  state.joined(1, at(0));
  for (uint64_t job = 1; job <= 4; ++job) state.job_sent(1, job, at(0));
  beat(0, 10);
  for (uint64_t job = 2; job <= 4; ++job) state.job_answered(1, job, at(9));
  EXPECT_EQ(state.tick(at(10)).overdue, (std::vector<EncoderLiveness::Overdue>{{1, 1}}));
}

TEST_F(Liveness, RowsThatWaitForTheLeaderAreNotOverdueAndRowsThatNeverComeAre) {
  state.joined(1, at(0));
  state.job_sent(1, 1, at(0));
  state.job_sent(1, 2, at(0));
  state.job_encoded(1, 1, at(5));
  beat(0, 60);
  EXPECT_TRUE(state.tick(at(50)).empty()) << "the second may wait for room at the encoder";
  state.fetch_begun(1, 1, at(50));
  EXPECT_TRUE(state.tick(at(59)).empty());
  EXPECT_EQ(state.tick(at(60)).overdue, (std::vector<EncoderLiveness::Overdue>{{1, 1}}));
}

TEST_F(Liveness, AnAnswerInBetweenForgives) {
  state.joined(1, at(0));
  for (uint64_t job = 7; job <= 9; ++job) state.job_sent(1, job, at(0));
  beat(0, 25);
  state.tick(at(10));
  state.job_answered(1, 8, at(15));
  EXPECT_TRUE(state.tick(at(24.9)).empty());
  const auto verdict = state.tick(at(25));
  EXPECT_EQ(verdict.overdue.size(), 1u);
  EXPECT_TRUE(verdict.stuck.empty()) << "not in a row";
}

TEST_F(Liveness, ALateAnswerToACancelledJobForgivesNothing) {
  state.joined(1, at(0));
  state.job_sent(1, 7, at(0));
  state.job_sent(1, 8, at(5));
  beat(0, 20);
  state.tick(at(10));
  state.job_answered(1, 7, at(11));
  EXPECT_EQ(state.tick(at(20)).stuck, std::vector<uint32_t>{1});
}

TEST_F(Liveness, OneThatLeftIsForgottenWithItsJobs) {
  state.joined(1, at(0));
  state.job_sent(1, 7, at(0));
  state.left(1);
  EXPECT_TRUE(state.tick(at(100)).empty());
  EXPECT_EQ(state.next_deadline(), std::nullopt);
  state.heard(1, at(100));  // words of one that is gone are ignored
  state.job_sent(1, 9, at(100));
  EXPECT_EQ(state.encoders(), 0u);
}

TEST_F(Liveness, NothingIsDueBeforeTheNextDeadline) {
  EXPECT_EQ(state.next_deadline(), std::nullopt);
  state.joined(1, at(0));
  EXPECT_EQ(state.next_deadline(), at(5));
  state.job_sent(1, 7, at(0));
  state.heard(1, at(8));
  EXPECT_EQ(state.next_deadline(), at(10));
  EXPECT_TRUE(state.tick(at(9.999)).empty());
  EXPECT_FALSE(state.tick(*state.next_deadline()).empty());
}

// Ticks when it asks to be ticked, until `end`; the step that is overdue by then.
std::optional<uint64_t> tick_until(StepLiveness& steps, TimePoint end) {
  while (steps.next_tick() && *steps.next_tick() <= end) {
    if (const auto overdue = steps.tick(*steps.next_tick())) return overdue;
  }
  return std::nullopt;
}

TEST(StepLiveness, AStepThatDoesNotEndIsOverdueOnce) {
  StepLiveness steps(from_seconds(10));
  EXPECT_EQ(steps.tick(at(100)), std::nullopt);
  EXPECT_EQ(steps.next_tick(), std::nullopt);
  steps.started(3, at(100));
  EXPECT_EQ(tick_until(steps, at(109)), std::nullopt);
  EXPECT_EQ(tick_until(steps, at(111)), std::optional<uint64_t>(3));
  EXPECT_EQ(steps.next_tick(), std::nullopt);
  EXPECT_EQ(steps.tick(at(200)), std::nullopt);
}

TEST(StepLiveness, WhileNobodyTicksNoStepGetsOlder) {
  StepLiveness steps(from_seconds(10));
  steps.started(3, at(100));
  EXPECT_EQ(tick_until(steps, at(104)), std::nullopt);
  EXPECT_EQ(steps.tick(at(1000)), std::nullopt);  // the process was stopped
  EXPECT_EQ(tick_until(steps, at(1002)), std::nullopt);
  EXPECT_EQ(steps.tick(at(5000)), std::nullopt);
  EXPECT_EQ(tick_until(steps, at(5010)), std::optional<uint64_t>(3));
}

TEST(StepLiveness, StepsThatEndAreNotOverdueAndAreRemembered) {
  StepLiveness steps(from_seconds(10));
  EXPECT_EQ(steps.last_finished(), std::nullopt);
  steps.started(1, at(0));
  steps.finished(at(9));
  EXPECT_EQ(steps.tick(at(50)), std::nullopt);
  EXPECT_EQ(steps.last_finished(), at(9));
}

TEST(Watchdog, BarksAtAStepThatHangs) {
  std::promise<uint64_t> overdue;
  Watchdog dog(std::chrono::milliseconds(50), [&](uint64_t step) { overdue.set_value(step); });
  dog.started(2);
  auto barked = overdue.get_future();
  ASSERT_EQ(barked.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(barked.get(), 2u);
}

TEST(Watchdog, RemembersThatAStepEnded) {
  Watchdog dog(from_seconds(3600), [](uint64_t) { FAIL() << "the step had time"; });
  EXPECT_FALSE(dog.answered_within(from_seconds(3600)));
  dog.started(1);
  dog.finished();
  EXPECT_TRUE(dog.answered_within(from_seconds(3600)));
}

TEST(Watchdog, LeavesAtOnceWhileAStepRuns) {
  Watchdog dog(from_seconds(3600), [](uint64_t) { FAIL() << "the step had time"; });
  dog.started(1);
}

}  // namespace
}  // namespace uhd
