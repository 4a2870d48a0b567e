#include "scheduler/policy.h"

#include <gtest/gtest.h>

#include "tests/support/visual_spans.h"

namespace uhd {
namespace {

Sequence sequence_of(int length, uint64_t order = 0) {
  Sequence s;
  s.tokens.assign(static_cast<size_t>(length), 1);
  s.prompt_length = length;
  s.order = order;
  return s;
}

TEST(Policy, PagesRoundUp) {
  EXPECT_EQ(pages_for(0, 64), 0);
  EXPECT_EQ(pages_for(1, 64), 1);
  EXPECT_EQ(pages_for(64, 64), 1);
  EXPECT_EQ(pages_for(65, 64), 2);
}

TEST(Policy, RunsUpToTheFirstSliceNotArrived) {
  Sequence s = sequence_of(100);
  const auto spans = spans_at({{10, 20}, {40, 20}, {70, 20}});
  spans->at(0).ready = spans->at(2).ready = true;
  s.spans = spans;
  EXPECT_EQ(runnable_tokens(s), 40);
  s.computed = 40;
  EXPECT_EQ(runnable_tokens(s), 0);
  spans->at(1).ready = true;
  EXPECT_EQ(runnable_tokens(s), 60);
}

TEST(Policy, WhatWasLostIsComputedAgainWhenThereIsMoreToDo) {
  Sequence s = sequence_of(100);
  const auto spans = spans_at({{40, 20}});
  s.spans = spans;
  s.reached = 40;
  s.computed = 16;
  EXPECT_EQ(runnable_tokens(s), 0);
  spans->at(0).ready = true;
  EXPECT_EQ(runnable_tokens(s), 84);
}

TEST(Policy, TheYoungestThatWaitsGivesAPageFirst) {
  PagePool pool(4);
  Sequence old = sequence_of(4, 1), young = sequence_of(4, 2), bare = sequence_of(4, 3);
  for (Sequence* s : {&old, &young}) s->pages.push_back(pool.take());
  std::vector<Sequence*> waiting = {&old, &young, &bare};
  EXPECT_EQ(choose_spare(waiting, bare), &young);
  EXPECT_EQ(choose_spare(waiting, young), &old);
  EXPECT_EQ(spare_pages(waiting, bare, pool), 2);
  EXPECT_EQ(spare_pages(waiting, young, pool), 1) << "its own are no gain";
  constexpr Fingerprint kName{1, 1};
  pool.name(old.pages[0], kName);
  bare.pages.push_back(std::move(*pool.find(kName)));
  EXPECT_EQ(spare_pages(waiting, young, pool), 1) << "both of its holders wait";
  const auto runs = pool.find(kName);
  EXPECT_EQ(spare_pages(waiting, young, pool), 0) << "one holder's page stays with the other";
}

TEST(Policy, NothingRunsBeforeAnImageThatOpensThePrompt) {
  Sequence s = sequence_of(8);
  s.spans = spans_at({{0, 4}});
  EXPECT_EQ(runnable_tokens(s), 0);
}

TEST(Policy, VictimIsTheYoungestThatIsYoungerAndIdle) {
  PagePool pool(4);
  Sequence old = sequence_of(4, 1), middle = sequence_of(4, 2), young = sequence_of(4, 3),
           busy = sequence_of(4, 4);
  for (Sequence* s : {&old, &middle, &young, &busy}) s->pages.push_back(pool.take());
  busy.scheduled = 1;
  std::vector<Sequence*> running = {&old, &middle, &young, &busy};
  EXPECT_EQ(choose_victim(running, old, 4), &young);
  EXPECT_EQ(choose_victim(running, young, 4), nullptr) << "the older never give way to the younger";
}

TEST(Policy, VictimIsTheOneThatLosesLeast) {
  PagePool pool(8);
  Sequence old = sequence_of(16, 1), kept = sequence_of(16, 2), lost = sequence_of(16, 3);
  for (Sequence* s : {&old, &kept, &lost}) s->pages.push_back(pool.take());
  old.computed = 0;
  kept.computed = 14;
  kept.named = 3;
  lost.computed = 4;
  std::vector<Sequence*> running = {&old, &kept, &lost};
  EXPECT_EQ(tokens_at_stake(kept, 4), 2) << "three full pages are kept by name";
  EXPECT_EQ(choose_victim(running, old, 4), &kept) << "though it is older and has computed more";
  kept.named = 2;
  lost.computed = 3;
  EXPECT_EQ(choose_victim(running, old, 4), &lost);
  EXPECT_EQ(choose_victim(running, kept, 4), &lost) << "never an older one, which loses nothing";
}

TEST(Policy, AdmissionKeepsPromisedPages) {
  Sequence half_done = sequence_of(128, 1);
  half_done.phase = Phase::running;
  std::vector<Sequence*> running = {&half_done};
  Sequence candidate = sequence_of(64, 2);
  EXPECT_EQ(promised_pages(running, 64), 2);
  EXPECT_FALSE(may_admit(candidate, running, 3, 64)) << "64 tokens and the next one need two pages";
  EXPECT_TRUE(may_admit(candidate, running, 4, 64));
  EXPECT_TRUE(may_admit(candidate, {}, 0, 64)) << "alone, it is always admitted";
}

}  // namespace
}  // namespace uhd
