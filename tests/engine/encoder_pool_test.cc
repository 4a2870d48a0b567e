#include "engine/slices/encoder_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "engine/cost.h"

namespace uhd {
namespace {

constexpr TimePoint kStart{};
TimePoint at(double s) { return kStart + from_seconds(s); }

SliceJob job(uint64_t n, int64_t patches = 100) {
  auto slice = std::make_shared<Slice>();
  slice->fingerprint = {n, n};
  return {slice, 4, patches};
}

EncoderPoolLimits limits() {
  EncoderPoolLimits l;
  l.retries = 2;
  l.no_encoder_wait = from_seconds(10);
  l.liveness.lost_after = from_seconds(1000);
  l.liveness.job_deadline = from_seconds(60);
  return l;
}

TEST(EncoderPool, SpreadsOneImageOverTheLeastBurdened) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.joined(2, 8, at(0));
  pool.add(job(1, 300), at(0));
  for (uint64_t n = 2; n <= 4; ++n) pool.add(job(n, 100), at(0));
  std::vector<EncoderId> chosen;
  for (const auto& send : pool.dispatch(at(0))) chosen.push_back(send.encoder);
  EXPECT_THAT(chosen, ::testing::ElementsAre(1, 2, 2, 2));
}

// The second is three times as fast as the first.
TEST(EncoderPool, ASliceGoesToTheEncoderThatIsLikelyToEndItFirst) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.joined(2, 8, at(0));
  for (uint64_t n = 1; n <= 2; ++n) pool.add(job(n, 300), at(0));
  const auto first = pool.dispatch(at(0));
  ASSERT_EQ(first.size(), 2u);
  for (const auto& send : first) {
    const TimePoint end = at(send.encoder == 1 ? 3 : 1);
    pool.encoded(send.encoder, send.job, end);
    pool.received(send.encoder, send.job, end);
  }
  std::vector<double> speeds;
  for (const auto& state : pool.states(at(3))) speeds.push_back(state.patches_per_second);
  EXPECT_THAT(speeds, ::testing::ElementsAre(::testing::DoubleEq(100), ::testing::DoubleEq(300)));
  for (uint64_t n = 11; n <= 14; ++n) pool.add(job(n, 100), at(4));
  std::vector<EncoderId> chosen;
  for (const auto& send : pool.dispatch(at(4))) chosen.push_back(send.encoder);
  EXPECT_THAT(chosen, ::testing::ElementsAre(2, 2, 1, 2));
}

// Speeds are of each encoder, and the cost of a request is that of all together.
TEST(EncoderPool, TheMeanSpeedPredictsWhatEncodersOfUnequalSpeedsDoTogether) {
  EncoderPool pool(limits());
  EXPECT_EQ(pool.patch_seconds(), std::nullopt);
  for (EncoderId id : {1, 2}) pool.joined(id, 1, at(0));
  EXPECT_EQ(pool.patch_seconds(), std::nullopt);
  double now = 0;
  for (int i = 0; i < 20; ++i) {
    for (uint64_t n = 1; n <= 2; ++n) pool.add(job(n, 300), at(now));
    for (const auto& send : pool.dispatch(at(now))) {
      const TimePoint end = at(now + (send.encoder == 1 ? 3 : 1));
      pool.encoded(send.encoder, send.job, end);
      pool.received(send.encoder, send.job, end);
    }
    now += 3;
  }
  ASSERT_TRUE(pool.patch_seconds());
  EXPECT_NEAR(*pool.patch_seconds(), 1 / 200.0, 1e-9);
  CostModel cost;
  cost.set_patch_seconds(*pool.patch_seconds());
  EXPECT_NEAR(cost.predict({.patches = 1200}, 2).encode, 3, 1e-6)
      << "900 of the fast one, 300 of the slow one";
  pool.joined(3, 1, at(now));
  EXPECT_NEAR(*pool.patch_seconds(), 1 / 200.0, 1e-9) << "the new one counts as the mean";
  pool.left(1, "killed", at(now));
  EXPECT_NEAR(*pool.patch_seconds(), 1 / 300.0, 1e-9) << "of those who are there";
}

// Returns how many each encoder gets of slices that come at once; each takes as long for one as is said.
std::map<EncoderId, int> shares(EncoderPool& pool, int slices, const std::map<EncoderId, double>& takes,
                                double& now) {
  static uint64_t name = 1000;
  for (int i = 0; i < slices; ++i) pool.add(job(++name), at(now));
  std::map<EncoderId, int> count;
  double last = now;
  for (const auto& send : pool.dispatch(at(now))) {
    const double end = now + takes.at(send.encoder) * ++count[send.encoder];
    pool.encoded(send.encoder, send.job, at(end));
    pool.received(send.encoder, send.job, at(end));
    last = std::max(last, end);
  }
  now = last;
  return count;
}

TEST(EncoderPool, OneThatIsHalfAsFastGetsHalfAsManySlicesAsLongAsItIs) {
  EncoderPool pool(limits());
  pool.joined(1, 64, at(0));
  pool.joined(2, 64, at(0));
  double now = 0;
  using Shares = std::map<EncoderId, int>;
  EXPECT_EQ(shares(pool, 2, {{1, 1}, {2, 2}}, now), (Shares{{1, 1}, {2, 1}})) << "nothing is known yet";
  EXPECT_EQ(shares(pool, 30, {{1, 1}, {2, 2}}, now), (Shares{{1, 20}, {2, 10}}));
  for (int i = 0; i < 4; ++i) shares(pool, 60, {{1, 4}, {2, 2}}, now);
  EXPECT_EQ(shares(pool, 30, {{1, 4}, {2, 2}}, now), (Shares{{1, 10}, {2, 20}})) << "of late";
  const auto states = pool.states(at(now));
  EXPECT_NEAR(states.at(0).patches_per_second, 25, 1);
  EXPECT_NEAR(states.at(1).patches_per_second, 50, 1e-6);
}

TEST(EncoderPool, ClientsShareTheEncodersByPatches) {
  EncoderPool pool(limits());
  pool.joined(1, 6, at(0));
  const auto of = [](std::string client, uint64_t n, int64_t patches) {
    SliceJob wanted = job(n, patches);
    wanted.client = std::move(client);
    return wanted;
  };
  for (uint64_t n = 1; n <= 20; ++n) pool.add(of("poster", n, 200), at(0));
  for (uint64_t n = 31; n <= 34; ++n) pool.add(of("chat", n, 100), at(0));
  std::vector<uint64_t> order;
  for (const auto& send : pool.dispatch(at(0))) order.push_back(send.slice->fingerprint.high);
  EXPECT_THAT(order, ::testing::ElementsAre(1, 31, 32, 2, 33, 34));
  EXPECT_EQ(pool.queued(), 18u);
}

// The names of the slices that are sent, in their order.
std::vector<uint64_t> sent(EncoderPool& pool, TimePoint now) {
  std::vector<uint64_t> order;
  for (const auto& send : pool.dispatch(now)) order.push_back(send.slice->fingerprint.high);
  return order;
}

TEST(EncoderPool, SlicesGoByPriorityWhichImprovesWithAge) {
  const auto add = [](EncoderPool& pool, const std::string& client, uint64_t n, int priority) {
    SliceJob wanted = job(n);
    wanted.client = client;
    wanted.urgency = {priority, at(0)};
    pool.add(std::move(wanted), at(0));
  };
  for (const bool aged : {false, true}) {
    EncoderPool pool(limits());
    for (uint64_t n = 1; n <= 3; ++n) add(pool, "batch", n, 10);
    add(pool, "chat", 11, 0);
    add(pool, "chat", 12, -1);
    add(pool, "other", 21, 0);
    pool.joined(1, 6, at(0));
    if (aged) {
      EXPECT_THAT(sent(pool, at(11)), ::testing::ElementsAre(1, 11, 21, 2, 12, 3))
          << "turns of clients alone";
    } else {
      EXPECT_THAT(sent(pool, at(0)), ::testing::ElementsAre(12, 21, 11, 1, 2, 3));
    }
  }
}

TEST(EncoderPool, ASliceIsAsUrgentAsTheMostUrgentOfThoseWhoWantIt) {
  EncoderPool pool(limits());
  for (uint64_t n = 1; n <= 3; ++n) {
    SliceJob wanted = job(n);
    wanted.urgency = {10, at(0)};
    pool.add(std::move(wanted), at(0));
  }
  pool.hasten({3, 3}, {0, at(0)});
  pool.hasten({1, 1}, {20, at(0)});
  pool.hasten({9, 9}, {0, at(0)});
  pool.joined(1, 8, at(0));
  EXPECT_THAT(sent(pool, at(0)), ::testing::ElementsAre(3, 1, 2));
}

TEST(EncoderPool, KeepsTheRestInItsQueueWhereItCanBeCancelled) {
  EncoderPool pool(limits());
  pool.joined(1, 1, at(0));
  pool.add(job(1), at(0));
  pool.add(job(2), at(0));
  EXPECT_EQ(pool.dispatch(at(0)).size(), 1u);
  EXPECT_FALSE(pool.cancel({1, 1}, at(0))) << "it is encoded now";
  EXPECT_TRUE(pool.cancel({2, 2}, at(0)));
  EXPECT_EQ(pool.queued(), 0u);
}

TEST(EncoderPool, ACancelTakesBackWhatWaitsAtAnEncoder) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  for (uint64_t n = 1; n <= 4; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  ASSERT_EQ(sends.size(), 4u);
  EXPECT_FALSE(pool.cancel({1, 1}, at(1))) << "it is encoded now";
  EXPECT_TRUE(pool.cancel({2, 2}, at(1)));
  EXPECT_TRUE(pool.cancel({4, 4}, at(1)));
  EXPECT_FALSE(pool.cancel({4, 4}, at(1))) << "it is gone";
  EXPECT_EQ(pool.states(at(1)).at(0).slices, 2);
  EXPECT_EQ(pool.queued(), 0u);
  std::vector<JobId> told;
  for (const auto& cancelled : pool.tick(at(1)).cancel) told.push_back(cancelled.job);
  EXPECT_THAT(told, ::testing::ElementsAre(sends[1].job, sends[3].job));
  EXPECT_TRUE(pool.tick(at(1)).cancel.empty()) << "it was said once";
  pool.failed(1, sends[3].job, "nobody asked", at(1));
  EXPECT_TRUE(pool.states(at(1)).at(0).healthy) << "the failure of what nobody wants";
  for (const size_t i : {0, 2}) {
    EXPECT_TRUE(pool.encoded(1, sends[i].job, at(2)));
    pool.received(1, sends[i].job, at(2));
  }
  EXPECT_EQ(pool.take_outcomes().size(), 2u);
  EXPECT_EQ(pool.states(at(2)).at(0).slices, 0);
}

TEST(EncoderPool, RowsThatWaitForTheLeaderGoWithACancelAndThoseOnTheirWayArrive) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  for (uint64_t n = 1; n <= 3; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  for (const auto& send : sends) pool.encoded(1, send.job, at(1));
  pool.fetch_begun(1, sends[0].job, at(1));
  EXPECT_FALSE(pool.cancel({1, 1}, at(2)));
  EXPECT_TRUE(pool.cancel({2, 2}, at(2)));
  EXPECT_FALSE(pool.awaits(1, sends[1].job));
  EXPECT_EQ(pool.tick(at(2)).cancel.size(), 1u);
  EXPECT_EQ(pool.states(at(2)).at(0).slices, 2);
}

// The encoder has begun what is cancelled, with the slice before it.
TEST(EncoderPool, TheAnswerToACancelledSliceIsNobodysAndItsTimeIsNoOthers) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  for (uint64_t n = 1; n <= 2; ++n) pool.add(job(n), at(0));
  const auto first = pool.dispatch(at(0));
  EXPECT_TRUE(pool.cancel({2, 2}, at(0.5)));
  pool.add(job(2), at(0.5));
  const auto again = pool.dispatch(at(0.5));
  ASSERT_EQ(again.size(), 1u);
  pool.encoded(1, first[0].job, at(1));
  pool.received(1, first[0].job, at(1));
  EXPECT_FALSE(pool.encoded(1, first[1].job, at(9)));
  pool.received(1, first[1].job, at(9));
  EXPECT_EQ(pool.take_outcomes().size(), 1u);
  EXPECT_TRUE(pool.encoded(1, again[0].job, at(10)));
  pool.received(1, again[0].job, at(10));
  const auto outcomes = pool.take_outcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].fingerprint, (Fingerprint{2, 2}));
  // 100 patches in the first second, and as many in the last.
  EXPECT_DOUBLE_EQ(pool.states(at(10)).at(0).patches_per_second, 100);
}

// Both were encoded in one pass, and the first one's rows are still on their way when the other is announced.
TEST(EncoderPool, ACancelledSliceOfTheSamePassTakesNoTimeFromTheOthers) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  for (uint64_t n = 1; n <= 2; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  EXPECT_TRUE(pool.cancel({2, 2}, at(0.5)));
  EXPECT_TRUE(pool.encoded(1, sends[0].job, at(1)));
  EXPECT_FALSE(pool.encoded(1, sends[1].job, at(1)));
  pool.received(1, sends[0].job, at(2));
  EXPECT_DOUBLE_EQ(pool.states(at(2)).at(0).patches_per_second, 50);
}

TEST(EncoderPool, WhatWasTakenBackKeepsItsPlaceUntilTheEncoderReadsOfIt) {
  EncoderPool pool(limits());
  pool.joined(1, 2, at(0));
  for (uint64_t n = 1; n <= 2; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  ASSERT_EQ(sends.size(), 2u);
  EXPECT_TRUE(pool.cancel({2, 2}, at(1)));
  pool.add(job(3), at(1));
  EXPECT_TRUE(pool.dispatch(at(1)).empty()) << "the pixels of two slices lie there";
  pool.encoded(1, sends[0].job, at(2));
  EXPECT_EQ(pool.dispatch(at(2)).size(), 1u);
}

TEST(EncoderPool, AStuckEncoderIsNotExcusedByClientsThatLeave) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  for (uint64_t n = 1; n <= 9; ++n) pool.add(job(n), at(0));
  pool.dispatch(at(0));
  EXPECT_EQ(pool.tick(at(61)).cancel.size(), 1u);
  for (uint64_t n = 2; n <= 8; ++n) pool.cancel({n, n}, at(70));
  EXPECT_EQ(pool.tick(at(121)).close.size(), 1u);
}

TEST(EncoderPool, GivesALostEncodersSlicesToAnother) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.add(job(1), at(0));
  pool.add(job(2), at(0));
  ASSERT_EQ(pool.dispatch(at(0)).size(), 2u);
  pool.joined(2, 8, at(1));
  pool.left(1, "killed", at(1));
  const auto sends = pool.dispatch(at(1));
  ASSERT_EQ(sends.size(), 2u);
  EXPECT_EQ(sends[0].encoder, 2u);
  EXPECT_EQ(sends[0].slice->fingerprint.high, 1u) << "order is kept";
  pool.received(2, sends[0].job, at(2));
  pool.received(2, sends[1].job, at(2));
  const auto outcomes = pool.take_outcomes();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_TRUE(outcomes[0].ok && outcomes[1].ok);
  EXPECT_EQ(outcomes[0].first_sent, at(0));
}

TEST(EncoderPool, TellsTheCourseOfASliceByThisRanksClock) {
  constexpr int64_t kSecond = 1'000'000'000;
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  const auto encode = [&](uint64_t name, double sent, const Encoded& told, double came) {
    pool.add(job(name), at(sent));
    const JobId id = pool.dispatch(at(sent)).at(0).job;
    pool.encoded(1, id, at(came), told);
    pool.received(1, id, at(came + 1));
    return pool.take_outcomes().at(0).course;
  };
  // The encoder's clock is 1000 s ahead, and both ways take a second.
  const SliceCourse course = encode(
      1, 10,
      {.came = 1011 * kSecond, .begun = 1012 * kSecond, .ended = 1014 * kSecond, .left = 1015 * kSecond}, 16);
  EXPECT_EQ(course.encoder, 1u);
  EXPECT_EQ(course.sent, at(10));
  EXPECT_EQ(course.begun, at(12));
  EXPECT_EQ(course.encoded, at(14));
  // It claims to have begun before it was asked, and to end after it answered.
  const SliceCourse lied = encode(
      2, 20, {.came = 1021 * kSecond, .begun = 1 * kSecond, .ended = 9999 * kSecond, .left = 1025 * kSecond},
      26);
  EXPECT_EQ(lied.begun, at(20));
  EXPECT_EQ(lied.encoded, at(26));
  // It works on a device, and does not know when that ended.
  const SliceCourse queued =
      encode(4, 27, {.came = 1028 * kSecond, .begun = 1028 * kSecond, .left = 1028 * kSecond}, 29);
  EXPECT_EQ(queued.begun, at(28));
  EXPECT_EQ(queued.encoded, std::nullopt);
  // It says nothing.
  const SliceCourse silent = encode(3, 30, {}, 35);
  EXPECT_EQ(silent.begun, at(35));
  EXPECT_EQ(silent.encoded, at(35));
}

TEST(EncoderPool, SaysHowEachEncoderDoes) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.joined(2, 8, at(0));
  for (uint64_t n = 1; n <= 3; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  ASSERT_EQ(sends.size(), 3u);
  pool.received(sends[0].encoder, sends[0].job, at(2));
  pool.failed(sends[1].encoder, sends[1].job, "broken", at(2));
  const auto states = pool.states(at(2));
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].encoder, 1u);
  EXPECT_EQ(states[0].encoded, 1);
  EXPECT_NEAR(states[0].patches_per_second, 50, 1e-9);
  EXPECT_EQ(states[0].slices, 1);
  EXPECT_TRUE(states[0].healthy);
  EXPECT_EQ(states[1].failed, 1);
  EXPECT_EQ(states[1].slices, 0);
  EXPECT_EQ(states[1].patches_per_second, 0) << "unknown";
  EXPECT_FALSE(states[1].healthy);
  EXPECT_TRUE(pool.states(at(100))[1].healthy) << "it has rested";
}

TEST(EncoderPool, RetriesElsewhereAndThenGivesUp) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.joined(2, 8, at(0));
  pool.add(job(1), at(0));
  std::vector<EncoderId> tried;
  for (int i = 0; i < 3; ++i) {
    const auto sends = pool.dispatch(at(i));
    ASSERT_EQ(sends.size(), 1u);
    tried.push_back(sends[0].encoder);
    pool.failed(sends[0].encoder, sends[0].job, "rows are not numbers", at(i));
  }
  EXPECT_THAT(tried, ::testing::ElementsAre(1, 2, 1));
  const auto outcomes = pool.take_outcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_FALSE(outcomes[0].ok);
  EXPECT_EQ(outcomes[0].reason, "rows are not numbers");
  EXPECT_TRUE(pool.dispatch(at(9)).empty());
}

// The encoders that the slices waiting now go to, in order.
std::vector<EncoderId> receivers(EncoderPool& pool, TimePoint now, std::vector<EncoderPool::Send>& sends) {
  sends = pool.dispatch(now);
  std::vector<EncoderId> encoders;
  encoders.reserve(sends.size());
  for (const auto& send : sends) encoders.push_back(send.encoder);
  return encoders;
}

TEST(EncoderPool, AnHonestEncoderBesideTwoThatFailLosesNothing) {
  EncoderPool pool(limits());
  for (EncoderId id : {1, 2, 3}) pool.joined(id, 4, at(0));
  double now = 0;
  for (uint64_t n = 0; n < 200; ++n) {
    pool.add(job(n), at(now));
    for (const auto& send : pool.dispatch(at(now))) {
      if (send.encoder == 3) {
        pool.received(3, send.job, at(now));
      } else {
        pool.failed(send.encoder, send.job, "not a number", at(now));
      }
    }
    now += 0.05;
  }
  for (int i = 0; i < 10; ++i) {
    for (const auto& send : pool.dispatch(at(now))) {
      EXPECT_EQ(send.encoder, 3u) << "what was failed once goes to who does well";
      pool.received(3, send.job, at(now));
    }
  }
  const auto outcomes = pool.take_outcomes();
  EXPECT_EQ(outcomes.size(), 200u);
  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome.ok);
  EXPECT_LT(pool.retries(), 20) << "those that fail are tried more and more rarely";
}

TEST(EncoderPool, OneThatFailedRestsAndThenGetsOneSliceAtATime) {
  EncoderPool pool(limits());
  pool.joined(1, 4, at(0));
  pool.joined(2, 1, at(0));
  pool.add(job(1), at(0));
  std::vector<EncoderPool::Send> sends;
  EXPECT_THAT(receivers(pool, at(0), sends), ::testing::ElementsAre(1));
  pool.failed(1, sends[0].job, "broken", at(0));
  for (uint64_t n = 2; n <= 4; ++n) pool.add(job(n), at(0));
  EXPECT_THAT(receivers(pool, at(0.5), sends), ::testing::ElementsAre(2))
      << "the others wait for the healthy";
  EXPECT_THAT(receivers(pool, at(1.5), sends), ::testing::ElementsAre(1)) << "its rest is over";
  pool.received(1, sends[0].job, at(2));
  EXPECT_THAT(receivers(pool, at(2), sends), ::testing::ElementsAre(1, 1)) << "healthy again";
}

TEST(EncoderPool, WhereAllFailedAllAreUsed) {
  EncoderPool pool(limits());
  pool.joined(1, 4, at(0));
  pool.joined(2, 4, at(0));
  pool.add(job(1), at(0));
  for (int i = 0; i < 3; ++i) {
    for (const auto& send : pool.dispatch(at(0))) pool.failed(send.encoder, send.job, "a bad slice", at(0));
  }
  EXPECT_FALSE(pool.take_outcomes().at(0).ok);
  pool.add(job(2), at(0));
  EXPECT_EQ(pool.dispatch(at(0)).size(), 1u);
}

TEST(EncoderPool, OneSliceThatWaitsForAnotherEncoderHoldsUpNobody) {
  EncoderPool pool(limits());
  pool.joined(1, 1, at(0));
  pool.joined(2, 1, at(0));
  pool.add(job(1), at(0));
  pool.add(job(2), at(0));
  const auto sends = pool.dispatch(at(0));
  pool.failed(1, sends[0].job, "broken", at(0));
  pool.add(job(3), at(0));
  EXPECT_TRUE(pool.dispatch(at(0.5)).empty());
  const auto later = pool.dispatch(at(2));
  ASSERT_EQ(later.size(), 1u) << "slice 1 waits for encoder 2";
  EXPECT_EQ(later[0].slice->fingerprint.high, 3u);
}

TEST(EncoderPool, AnEncoderMayNotAskForAnyNumberOfSlices) {
  EncoderPool pool(limits());
  pool.joined(1, 1 << 30, at(0));
  for (uint64_t n = 0; n < 1000; ++n) pool.add(job(n), at(0));
  EXPECT_LE(pool.dispatch(at(0)).size(), 64u);
}

TEST(EncoderPool, ABusyEncoderIsNotStuckAndAStuckOneIs) {
  EncoderPool pool(limits());
  pool.joined(1, 16, at(0));
  for (uint64_t n = 0; n < 16; ++n) pool.add(job(n), at(0));
  const auto sends = pool.dispatch(at(0));
  double now = 0;
  for (size_t i = 0; i < 8; ++i) {
    now += 50;
    EXPECT_TRUE(pool.tick(at(now)).cancel.empty());
    pool.received(1, sends[i].job, at(now));
  }
  EXPECT_EQ(pool.tick(at(now + 60)).cancel.size(), 1u);
  EXPECT_EQ(pool.encoders(), 1u);
  EXPECT_EQ(pool.tick(at(now + 120)).close.size(), 1u);
  EXPECT_EQ(pool.encoders(), 0u);
}

TEST(EncoderPool, TriesTheSameEncoderAgainWhenItIsTheOnlyOne) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.add(job(1), at(0));
  pool.failed(1, pool.dispatch(at(0))[0].job, "bad luck", at(0));
  EXPECT_EQ(pool.dispatch(at(0)).size(), 1u);
}

TEST(EncoderPool, CancelsAnOverdueJobAndTriesElsewhere) {
  EncoderPool pool(limits());
  pool.joined(1, 8, at(0));
  pool.joined(2, 8, at(0));
  pool.add(job(1), at(0));
  const auto first = pool.dispatch(at(0));
  EXPECT_TRUE(pool.tick(at(59)).cancel.empty());
  const auto verdict = pool.tick(at(61));
  ASSERT_EQ(verdict.cancel.size(), 1u);
  EXPECT_EQ(verdict.cancel[0].job, first[0].job);
  const auto second = pool.dispatch(at(61));
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].encoder, 2u);
  EXPECT_FALSE(pool.encoded(1, first[0].job, at(62))) << "the late answer is nobody's";
  EXPECT_TRUE(pool.encoded(2, second[0].job, at(62)));
}

TEST(EncoderPool, FailsSlicesWhenNoEncoderComes) {
  EncoderPool pool(limits());
  pool.add(job(1), at(0));
  pool.tick(at(9));
  EXPECT_TRUE(pool.take_outcomes().empty());
  pool.tick(at(11));
  const auto outcomes = pool.take_outcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].no_encoder);
}

TEST(EncoderPool, WaitsForAnEncoderThatJoinsInTime) {
  EncoderPool pool(limits());
  pool.add(job(1), at(0));
  pool.joined(1, 8, at(9));
  pool.tick(at(11));
  EXPECT_TRUE(pool.take_outcomes().empty());
  EXPECT_EQ(pool.dispatch(at(11)).size(), 1u);
}

TEST(EncoderPool, ClosesAQuietEncoder) {
  EncoderPoolLimits l = limits();
  l.liveness.lost_after = from_seconds(5);
  EncoderPool pool(l);
  pool.joined(1, 8, at(0));
  pool.heard(1, at(3));
  EXPECT_TRUE(pool.tick(at(7)).close.empty());
  const auto verdict = pool.tick(at(9));
  ASSERT_EQ(verdict.close.size(), 1u);
  EXPECT_EQ(verdict.close[0].first, 1u);
  EXPECT_EQ(pool.encoders(), 0u);
}

}  // namespace
}  // namespace uhd
