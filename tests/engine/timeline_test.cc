#include "engine/leader/timeline.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr TimePoint kZero{};

TimePoint moment(double seconds) { return kZero + from_seconds(seconds); }

struct Told {
  std::vector<TimelineSpan> spans;
  Timeline timeline{kZero, 2, [this](const TimelineSpan& span) { spans.push_back(span); }};
};

TEST(Timeline, TellsASpanWhenItEnds) {
  Told told;
  told.timeline.add({.stage = Stage::cut, .image = 3}, moment(0.5), moment(0.75));
  ASSERT_EQ(told.spans.size(), 1u);
  EXPECT_EQ(told.spans[0].stage, Stage::cut);
  EXPECT_EQ(told.spans[0].image, 3);
  EXPECT_EQ(told.spans[0].slice, -1);
  EXPECT_NEAR(told.spans[0].begin, 0.5, 1e-9);
  EXPECT_NEAR(told.spans[0].end, 0.75, 1e-9);
}

TEST(Timeline, ASpanDoesNotEndBeforeItBegins) {
  Told told;
  told.timeline.add({}, moment(2), moment(1));
  EXPECT_EQ(told.spans.at(0).end, told.spans.at(0).begin);
}

TEST(Timeline, TellsDecodeStepsInRunsOfEachAnswer) {
  Told told;
  for (int step = 0; step < 3; ++step) {
    told.timeline.decoded(0, moment(0.01 * step), moment(0.01 * step + 0.01));
    told.timeline.decoded(1, moment(0.01 * step), moment(0.01 * step + 0.01));
  }
  EXPECT_TRUE(told.spans.empty());
  told.timeline.decoded(0, moment(0.1), moment(0.11));
  ASSERT_EQ(told.spans.size(), 1u) << "a tenth of a second";
  EXPECT_EQ(told.spans[0].tokens, 4);
  told.timeline.end_run(1);
  ASSERT_EQ(told.spans.size(), 2u);
  EXPECT_EQ(told.spans[1].answer, 1);
  EXPECT_EQ(told.spans[1].tokens, 3);
  EXPECT_NEAR(told.spans[1].end, 0.03, 1e-9);
  told.timeline.end_run(1);
  EXPECT_EQ(told.spans.size(), 2u) << "nothing came since";
}

TEST(Timeline, LongAnswersHaveFewRuns) {
  Told told;
  constexpr int kSteps = 360000;  // an hour
  for (int step = 0; step < kSteps; ++step)
    told.timeline.decoded(0, moment(step / 100.0), moment((step + 1) / 100.0));
  told.timeline.end_run(0);
  EXPECT_LT(told.spans.size(), 1000u);
  int tokens = 0;
  for (const TimelineSpan& span : told.spans) tokens += span.tokens;
  EXPECT_EQ(tokens, kSteps);
}

TEST(Timeline, IsBounded) {
  Told told;
  for (int i = 0; i < kMostTimelineSpans + 10; ++i) told.timeline.add({}, moment(i), moment(i + 1));
  EXPECT_EQ(told.spans.size(), static_cast<size_t>(kMostTimelineSpans));
}

}  // namespace
}  // namespace uhd
