#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "scheduler/prefix.h"
#include "tests/support/visual_spans.h"

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TimePoint kNow{};

SequenceSpec spec(SequenceId id, int prompt, int max_tokens = 8) {
  SequenceSpec s;
  s.id = id;
  s.prompt.assign(static_cast<size_t>(prompt), 1);
  s.max_tokens = max_tokens;
  return s;
}

SchedulerOptions small(int pages) {
  return {.max_running = 4, .max_waiting = 8, .token_budget = 16, .page_size = 4, .pages = pages};
}

void complete(Scheduler& scheduler, const Batch& batch) {
  scheduler.complete(batch, std::vector<int32_t>(static_cast<size_t>(batch.samples), 7));
  scheduler.check_integrity();
}

// Launches a step that was planned, and completes it.
void run(Scheduler& scheduler, const Batch& batch) {
  scheduler.launched(batch);
  complete(scheduler, batch);
}

TEST(Scheduler, PrefillsInChunksWithinTheBudget) {
  Scheduler scheduler(small(20));
  scheduler.add(spec(1, 40));
  std::vector<int> chunks;
  for (int step = 0; step < 3; ++step) {
    const Batch batch = scheduler.next(kNow);
    ASSERT_EQ(batch.items.size(), 1u);
    chunks.push_back(batch.items[0].count);
    EXPECT_EQ(batch.items[0].samples, step == 2);
    EXPECT_EQ(batch.prompts_wait, step < 2);
    run(scheduler, batch);
  }
  EXPECT_THAT(chunks, ElementsAre(16, 16, 8));
  EXPECT_EQ(scheduler.find(1)->generated(), 1);
}

TEST(Scheduler, TellsWhetherPromptsWouldHaveMoreRows) {
  Scheduler scheduler(small(40));
  scheduler.add(spec(1, 4));
  run(scheduler, scheduler.next(kNow));
  scheduler.set_step_rows(1);
  Batch batch = scheduler.next(kNow);
  EXPECT_FALSE(batch.prompts_wait) << "nobody's prompt is there";
  run(scheduler, batch);
  SequenceSpec pictured = spec(2, 40);
  const auto slice = spans_at({{0, 8}});
  pictured.spans = slice;
  scheduler.add(pictured);
  batch = scheduler.next(kNow);
  EXPECT_FALSE(batch.prompts_wait) << "it waits for its picture";
  run(scheduler, batch);
  slice->at(0).ready = true;
  batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items.size(), 1u);
  EXPECT_TRUE(batch.prompts_wait);
  run(scheduler, batch);
}

TEST(Scheduler, DecodesBeforeItPrefills) {
  Scheduler scheduler(small(40));
  scheduler.add(spec(1, 4));
  run(scheduler, scheduler.next(kNow));
  scheduler.add(spec(2, 40));
  const Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 2u);
  EXPECT_EQ(batch.items[0].sequence->id, 1u);
  EXPECT_EQ(batch.items[0].count, 1);
  EXPECT_EQ(batch.items[1].count, 15) << "the rest of the budget";
  run(scheduler, batch);
}

TEST(Scheduler, PrefillsTextAndEarlySlicesWhileLaterOnesAreEncoded) {
  Scheduler scheduler(small(40));
  SequenceSpec s = spec(1, 14);
  const auto spans = spans_at({{3, 4}, {8, 4}});
  s.spans = spans;
  scheduler.add(std::move(s));
  Batch batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items[0].count, 3);
  run(scheduler, batch);
  EXPECT_THAT(scheduler.next(kNow).items, IsEmpty());
  spans->at(0).ready = true;
  batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items[0].first, 3);
  EXPECT_EQ(batch.items[0].count, 5);
  run(scheduler, batch);
  spans->at(1).ready = true;
  batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items[0].count, 6);
  EXPECT_TRUE(batch.items[0].samples);
  run(scheduler, batch);
}

TEST(Scheduler, PassesOneThatWaitsForItsFirstSlice) {
  Scheduler scheduler(small(40));
  SequenceSpec blocked = spec(1, 8);
  blocked.spans = spans_at({{0, 4}});
  scheduler.add(std::move(blocked));
  scheduler.add(spec(2, 4));
  const Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].sequence->id, 2u);
  run(scheduler, batch);
}

// Sequence `id` computes the four tokens before its slice, and waits for it.
void wait_for_a_slice(Scheduler& scheduler, SequenceId id, const std::shared_ptr<VisualSpans>& slice) {
  SequenceSpec s = spec(id, 12, 4);
  s.spans = slice;
  scheduler.add(std::move(s));
  const Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].sequence->id, id);
  EXPECT_EQ(batch.items[0].count, 4);
  run(scheduler, batch);
}

TEST(Scheduler, OneThatWaitsForASliceTakesNoPlace) {
  SchedulerOptions options = small(40);
  options.max_running = 1;
  Scheduler scheduler(options);
  const auto slice = spans_at({{4, 4}});
  wait_for_a_slice(scheduler, 1, slice);
  scheduler.add(spec(2, 4));
  Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].sequence->id, 2u);
  run(scheduler, batch);
  slice->front().ready = true;
  batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items[0].sequence->id, 2u) << "it has the place now";
  run(scheduler, batch);
  scheduler.finish(2);
  batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].first, 4) << "what was computed is still there";
  run(scheduler, batch);
}

TEST(Scheduler, OneThatWaitsForASliceGivesItsPagesToWhoNeedsThem) {
  Scheduler scheduler(small(4));
  const auto slice = spans_at({{4, 4}});
  wait_for_a_slice(scheduler, 1, slice);
  scheduler.add(spec(2, 15, 1));
  Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].count, 15);
  EXPECT_TRUE(scheduler.find(1)->pages.empty());
  run(scheduler, batch);
  scheduler.finish(2);
  EXPECT_THAT(scheduler.next(kNow).items, IsEmpty()) << "what it lost is of no use before the slice is there";
  slice->front().ready = true;
  batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].first, 0) << "from the start";
  EXPECT_TRUE(batch.items[0].samples);
  run(scheduler, batch);
}

TEST(Scheduler, NeverPassesOneThatWaitsForPages) {
  Scheduler scheduler(small(6));
  scheduler.add(spec(1, 12, 4));
  run(scheduler, scheduler.next(kNow));
  scheduler.add(spec(2, 16, 4));
  scheduler.add(spec(3, 2, 2));
  const Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  EXPECT_EQ(batch.items[0].sequence->id, 1u);
  EXPECT_EQ(scheduler.waiting(), 2);
  run(scheduler, batch);
}

TEST(Scheduler, YoungestStartsOverWhenPagesRunOut) {
  Scheduler scheduler(small(4));
  scheduler.add(spec(1, 4, 12));
  scheduler.add(spec(2, 4, 12));
  bool preempted = false;
  for (int step = 0; step < 100 && !scheduler.empty(); ++step) {
    const Batch batch = scheduler.next(kNow);
    for (SequenceId id : batch.preempted) {
      preempted = true;
      EXPECT_EQ(id, 2u);
    }
    run(scheduler, batch);
    for (SequenceId id : {1, 2}) {
      const Sequence* s = scheduler.find(id);
      if (s != nullptr && s->length() == s->max_length) scheduler.finish(id);
    }
    scheduler.check_integrity();
  }
  EXPECT_TRUE(preempted);
  EXPECT_TRUE(scheduler.empty());
}

TEST(Scheduler, CancelledDuringAStepLeavesWhenItCompletes) {
  Scheduler scheduler(small(10));
  scheduler.add(spec(1, 4));
  const Batch batch = scheduler.next(kNow);
  scheduler.finish(1);
  EXPECT_EQ(scheduler.pages().free(), 9) << "the step still writes its page";
  run(scheduler, batch);
  EXPECT_TRUE(scheduler.empty());
  EXPECT_EQ(scheduler.pages().free(), 10);
}

// Launches a step that was planned.
Batch launched(Scheduler& scheduler, TimePoint now = kNow) {
  Batch batch = scheduler.next(now);
  scheduler.launched(batch);
  scheduler.check_integrity();
  return batch;
}

TEST(Scheduler, PlansAStepBeforeTheTokensOfTheLastAreKnown) {
  Scheduler scheduler(small(10));
  scheduler.add(spec(1, 4, 3));
  const Batch prompt = launched(scheduler);
  const Sequence& sequence = *scheduler.find(1);
  EXPECT_EQ(sequence.length(), 5);
  EXPECT_EQ(sequence.tokens.size(), 4u) << "the fifth is being drawn";
  const Batch second = launched(scheduler);
  ASSERT_EQ(second.items.size(), 1u);
  EXPECT_EQ(second.items[0].first, 4);
  EXPECT_TRUE(second.items[0].samples);
  complete(scheduler, prompt);
  EXPECT_THAT(sequence.tokens, ElementsAre(1, 1, 1, 1, 7));
  const Batch third = launched(scheduler);
  EXPECT_EQ(third.items[0].first, 5);
  complete(scheduler, second);
  EXPECT_THAT(scheduler.next(kNow).items, IsEmpty()) << "the third token is the last, though not known";
  complete(scheduler, third);
  EXPECT_EQ(sequence.tokens.size(), 7u);
}

TEST(Scheduler, SaysWhichOfTheTokensThatAreDrawnIsWhose) {
  Scheduler scheduler(small(20));
  for (SequenceId id : {1, 2, 3}) scheduler.add(spec(id, 4));
  run(scheduler, scheduler.next(kNow));
  scheduler.finish(1);
  const Batch batch = launched(scheduler);
  EXPECT_EQ(scheduler.find(2)->awaited_at, 0);
  EXPECT_EQ(scheduler.find(3)->awaited_at, 1);
  complete(scheduler, batch);
  EXPECT_EQ(scheduler.find(3)->awaited, 0);
}

TEST(Scheduler, WhoEndedIsInNoFurtherStepAndLeavesWithItsLast) {
  Scheduler scheduler(small(10));
  scheduler.add(spec(1, 4));
  const Batch first = launched(scheduler), second = launched(scheduler);
  complete(scheduler, first);
  scheduler.finish(1);  // the token of the first step was an end token
  EXPECT_THAT(scheduler.next(kNow).items, IsEmpty());
  EXPECT_NE(scheduler.find(1), nullptr) << "the second step still writes its pages";
  complete(scheduler, second);
  EXPECT_TRUE(scheduler.empty());
  EXPECT_EQ(scheduler.pages().free(), 10);
}

TEST(Scheduler, ExpiresOnceWhileAStepIsUnderWay) {
  Scheduler scheduler(small(10));
  SequenceSpec s = spec(1, 4);
  s.deadline = kNow + std::chrono::seconds(5);
  scheduler.add(std::move(s));
  const Batch batch = launched(scheduler);
  const TimePoint late = kNow + std::chrono::seconds(5);
  EXPECT_THAT(scheduler.next(late).expired, ElementsAre(1u));
  EXPECT_THAT(scheduler.next(late).expired, IsEmpty());
  complete(scheduler, batch);
  EXPECT_TRUE(scheduler.empty());
}

TEST(Scheduler, StepsAreLaunchedAsTheyWerePlanned) {
  Scheduler scheduler(small(10));
  scheduler.add(spec(1, 4));
  const Batch first = launched(scheduler);
  EXPECT_THROW(scheduler.launched(first), Error);
  const Batch second = scheduler.next(kNow);
  EXPECT_THROW(scheduler.next(kNow), Error) << "the second is not launched";
  complete(scheduler, first);
  EXPECT_THROW(complete(scheduler, second), Error) << "it was never launched";
  EXPECT_THROW(scheduler.launched(first), Error);
}

SequenceSpec spec_of(const std::string& client, SequenceId id, int prompt, int priority = 0) {
  SequenceSpec s = spec(id, prompt, 1);
  s.client = client;
  s.priority = priority;
  return s;
}

SchedulerOptions roomy(int budget) {
  return {.max_running = 8, .max_waiting = 64, .token_budget = budget, .page_size = 4, .pages = 2000};
}

// Runs a step, and returns its rows of each client; who has computed its prompt ends.
std::map<std::string, int> rows_of_a_step(Scheduler& scheduler, TimePoint now = kNow) {
  const Batch batch = scheduler.next(now);
  std::map<std::string, int> rows;
  std::vector<SequenceId> ended;
  for (const BatchItem& item : batch.items) {
    rows[item.sequence->client] += item.count;
    if (item.samples) ended.push_back(item.sequence->id);
  }
  run(scheduler, batch);
  for (SequenceId id : ended) scheduler.finish(id);
  return rows;
}

TEST(Scheduler, AShortPromptOfAnotherClientIsInTheNextStep) {
  Scheduler scheduler(roomy(128));
  for (SequenceId id = 1; id <= 7; ++id) scheduler.add(spec_of("posters", id, 1000));
  for (int step = 0; step < 3; ++step) EXPECT_EQ(rows_of_a_step(scheduler)["posters"], 128);
  EXPECT_EQ(scheduler.running(), 1) << "a client's prompts go one after another";
  scheduler.add(spec_of("chat", 20, 30));
  auto rows = rows_of_a_step(scheduler);
  EXPECT_EQ(rows["chat"], 30);
  EXPECT_EQ(rows["posters"], 98) << "the rest of the step is not wasted";
}

TEST(Scheduler, AStepHasNoMoreRowsThanItIsGiven) {
  Scheduler scheduler(roomy(128));
  scheduler.add(spec_of("poster", 1, 300));
  scheduler.set_step_rows(50);
  EXPECT_EQ(rows_of_a_step(scheduler)["poster"], 50);
  scheduler.set_step_rows(1000);
  EXPECT_EQ(rows_of_a_step(scheduler)["poster"], 128) << "the budget is the most";
  EXPECT_THROW(scheduler.set_step_rows(0), Error);
}

TEST(Scheduler, ClientsShareRowsWhateverTheyHaveQueued) {
  Scheduler scheduler(roomy(100));
  for (SequenceId id = 1; id <= 20; ++id) scheduler.add(spec_of("many", id, 90));
  for (SequenceId id = 21; id <= 22; ++id) scheduler.add(spec_of("few", id, 900));
  int many = 0, few = 0;
  for (int step = 0; step < 15; ++step) {
    auto rows = rows_of_a_step(scheduler);
    EXPECT_EQ(rows["many"] + rows["few"], 100);
    many += rows["many"];
    few += rows["few"];
  }
  EXPECT_NEAR(many, few, 128) << "two quanta";
}

TEST(Scheduler, DecodedTokensCountAgainstAClient) {
  Scheduler scheduler(roomy(16));
  scheduler.set_decode_cost(8);
  for (SequenceId id = 1; id <= 4; ++id) {
    SequenceSpec s = spec(id, 4, 40);
    s.client = "talks";
    scheduler.add(std::move(s));
  }
  run(scheduler, scheduler.next(kNow));
  for (int step = 0; step < 20; ++step) run(scheduler, scheduler.next(kNow));
  scheduler.add(spec_of("talks", 10, 500));
  scheduler.add(spec_of("asks", 11, 500));
  int asks = 0;
  for (int step = 0; step < 15; ++step) {
    const Batch batch = scheduler.next(kNow);
    for (const BatchItem& item : batch.items) {
      if (item.sequence->id == 10) ADD_FAILURE() << "step " << step << " repays what was decoded";
      if (item.sequence->id == 11) asks += item.count;
    }
    run(scheduler, batch);
  }
  EXPECT_EQ(asks, 15 * 12) << "decoding goes on beside it";
}

TEST(Scheduler, ABetterPriorityGoesFirstUntilOthersHaveAged) {
  Scheduler scheduler(roomy(16));
  scheduler.add(spec_of("a", 1, 16, 3));
  scheduler.add(spec_of("b", 2, 16, 0));
  scheduler.add(spec_of("c", 3, 16, -1));
  std::vector<std::string> order;
  for (int step = 0; step < 3; ++step) order.push_back(rows_of_a_step(scheduler).begin()->first);
  EXPECT_THAT(order, ElementsAre("c", "b", "a"));
}

TEST(Scheduler, NobodyStarvesBehindAnEndlessStreamOfBetterPriorities) {
  Scheduler scheduler(roomy(16));
  scheduler.add(spec_of("patient", 1, 16, 5));
  SequenceId id = 1;
  int steps = 0;
  for (; steps < 100 && scheduler.find(1) != nullptr; ++steps) {
    scheduler.add(spec_of("pushes", ++id, 16, -5));
    const auto rows = rows_of_a_step(scheduler, kNow + std::chrono::milliseconds(500) * steps);
    EXPECT_TRUE(steps >= 20 || !rows.contains("patient")) << "ten seconds are not over";
  }
  EXPECT_LT(steps, 40);
}

TEST(Scheduler, NobodyStarvesBehindEverNewClients) {
  Scheduler scheduler(roomy(16));
  scheduler.add(spec_of("old", 1, 64));
  for (int i = 2; i < 6; ++i) scheduler.add(spec_of(std::to_string(i), static_cast<SequenceId>(i), 16));
  int steps = 0;
  for (; steps < 200 && scheduler.find(1) != nullptr; ++steps) {
    const auto id = static_cast<SequenceId>(100 + steps);
    scheduler.add(spec_of(std::to_string(id), id, 16));
    rows_of_a_step(scheduler);
  }
  EXPECT_LT(steps, 40);
}

TEST(Scheduler, AFirstTurnWithoutPagesIsNotLostToABetterPriority) {
  Scheduler scheduler(small(6));
  scheduler.add(spec(1, 12, 4));
  run(scheduler, scheduler.next(kNow));
  scheduler.add(spec_of("long", 2, 20));
  Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u) << "its turn finds no pages";
  run(scheduler, batch);
  scheduler.add(spec_of("short", 3, 2, -5));
  batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  run(scheduler, batch);
  scheduler.finish(1);
  batch = scheduler.next(kNow);
  EXPECT_EQ(scheduler.find(2)->phase, Phase::running);
  run(scheduler, batch);
}

// A prompt of the tokens 0, 1, 2, ... whose pages others of the root may share.
SequenceSpec sharing(SequenceId id, int prompt, uint64_t root = 1) {
  SequenceSpec s = spec(id, prompt);
  for (int i = 0; i < prompt; ++i) s.prompt[static_cast<size_t>(i)] = i;
  s.cache_root = Fingerprint{root, root};
  return s;
}

// Adds it alone: the tokens of its prompt that are computed.
int computed_of(Scheduler& scheduler, SequenceSpec s) {
  const SequenceId id = s.id;
  scheduler.add(std::move(s));
  int computed = 0;
  while (scheduler.find(id)->generated() == 0) {
    const Batch batch = scheduler.next(kNow);
    computed += batch.tokens;
    run(scheduler, batch);
  }
  scheduler.finish(id);
  return computed;
}

TEST(Scheduler, ComputesAPrefixOnceForAllThatBeginAlike) {
  Scheduler scheduler(small(20));
  EXPECT_EQ(computed_of(scheduler, sharing(1, 14)), 14);
  EXPECT_EQ(scheduler.pages().free(), 20) << "what is kept can be taken";
  EXPECT_EQ(computed_of(scheduler, sharing(2, 14)), 2) << "three pages of four tokens are kept";
  EXPECT_EQ(computed_of(scheduler, sharing(3, 12)), 4) << "a token is left to compute, and with it its page";
  SequenceSpec other = sharing(4, 14);
  other.prompt[5] = 99;
  EXPECT_EQ(computed_of(scheduler, std::move(other)), 10);
  EXPECT_EQ(computed_of(scheduler, sharing(5, 14, 2)), 14) << "another root";
  SequenceSpec alone = sharing(6, 14);
  alone.cache_root.reset();
  EXPECT_EQ(computed_of(scheduler, std::move(alone)), 14);
}

TEST(Scheduler, SaysWhatIsKeptOfAPromptAndTouchesNothing) {
  Scheduler scheduler(small(6));
  const auto kept = [&](SequenceSpec s) {
    return scheduler.kept_tokens(prompt_pages(*s.cache_root, s.prompt, *s.spans, 4));
  };
  EXPECT_EQ(kept(sharing(9, 14)), 0);
  computed_of(scheduler, sharing(1, 14));
  EXPECT_EQ(kept(sharing(9, 30)), 12);
  EXPECT_EQ(kept(sharing(9, 13)), 12);
  EXPECT_EQ(kept(sharing(9, 12)), 8) << "a token is left to compute, and with it its page";
  EXPECT_EQ(kept(sharing(9, 1)), 0);
  EXPECT_EQ(kept(sharing(9, 14, 2)), 0) << "another root";
  SequenceSpec seen = sharing(9, 14);
  const auto spans = spans_at({{6, 4}});
  seen.spans = spans;
  EXPECT_EQ(kept(seen), 4) << "a slice that is not known";
  EXPECT_EQ(scheduler.pages().free(), 6);
  // The first of the pages was let go last, so that others go before it, whatever was asked.
  computed_of(scheduler, sharing(2, 14, 2));
  EXPECT_EQ(kept(sharing(9, 14)), 8);
  scheduler.check_integrity();
}

TEST(Scheduler, SharesPagesThatAreHeldAndCountsThemOnce) {
  Scheduler scheduler(small(20));
  scheduler.add(sharing(1, 13));
  run(scheduler, scheduler.next(kNow));
  scheduler.add(sharing(2, 13));
  const Batch both = scheduler.next(kNow);
  ASSERT_EQ(both.items.size(), 2u);
  EXPECT_EQ(both.items[1].first, 12);
  EXPECT_EQ(scheduler.find(2)->cached, 12);
  EXPECT_EQ(scheduler.pages().free(), 20 - 5) << "three pages of both, and one of each";
  run(scheduler, both);
}

// Adds it, and finishes it at once: the tokens of its prompt that kept pages hold.
int kept_of(Scheduler& scheduler, SequenceSpec s) {
  const SequenceId id = s.id;
  scheduler.add(std::move(s));
  const int kept = scheduler.adopt(id);
  scheduler.finish(id);
  return kept;
}

// Two prompts that begin alike are computed in one step, so that each computes the beginning.
TEST(Scheduler, HoldsOnePageOfEachNameAndGivesUpTheDeepestFirst) {
  SchedulerOptions options = small(12);
  options.token_budget = 64;
  Scheduler scheduler(options);
  scheduler.add(sharing(1, 9));
  scheduler.add(sharing(2, 17));
  const Batch both = scheduler.next(kNow);
  ASSERT_EQ(both.tokens, 26);
  EXPECT_EQ(scheduler.pages().free(), 12 - 8);
  run(scheduler, both);
  EXPECT_EQ(scheduler.pages().named(), 4);
  EXPECT_EQ(scheduler.pages().free(), 12 - 6) << "each holds the same two pages, and what is its own";
  scheduler.finish(1);
  scheduler.finish(2);
  EXPECT_EQ(kept_of(scheduler, sharing(3, 17)), 16);
  EXPECT_EQ(computed_of(scheduler, spec(4, 39)), 39);
  EXPECT_EQ(scheduler.pages().evictions(), 2);
  EXPECT_EQ(kept_of(scheduler, sharing(5, 17)), 8) << "the first two of four pages are left";
}

// The second one's next step is planned and launched before the pages of the first are known to be the same.
TEST(Scheduler, HoldsOnePageOfEachNameWhileAStepIsUnderWay) {
  Scheduler scheduler(small(20));
  for (const SequenceId id : {1, 2}) {
    SequenceSpec s = sharing(id, 6);
    s.client = std::to_string(id);
    scheduler.add(std::move(s));
  }
  const Batch prompts = scheduler.next(kNow);
  ASSERT_EQ(prompts.items.size(), 2u);
  scheduler.launched(prompts);
  const Batch answers = scheduler.next(kNow);
  ASSERT_EQ(answers.items.size(), 2u);
  scheduler.launched(answers);
  EXPECT_EQ(scheduler.pages().free(), 20 - 4);
  complete(scheduler, prompts);
  EXPECT_EQ(scheduler.pages().free(), 20 - 3);
  EXPECT_EQ(scheduler.find(1)->pages[0].page(), scheduler.find(2)->pages[0].page());
  complete(scheduler, answers);
}

TEST(Scheduler, TheAnswersOfOnePromptWaitForTheFirst) {
  Scheduler scheduler(small(20));
  scheduler.add(sharing(1, 20));
  for (SequenceId id : {2, 3}) {
    SequenceSpec s = sharing(id, 20);
    s.after = 1;
    scheduler.add(std::move(s));
  }
  scheduler.add(spec(4, 3));
  Batch batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 1u);
  run(scheduler, batch);
  batch = scheduler.next(kNow);
  ASSERT_EQ(batch.items.size(), 2u) << "the rest of the first, and the fourth, which waits for nobody";
  run(scheduler, batch);
  batch = scheduler.next(kNow);
  EXPECT_EQ(batch.items.size(), 4u);
  EXPECT_EQ(batch.tokens, 4) << "of a copy of the prompt's last page each computes the last token";
  ASSERT_EQ(batch.copies.size(), 2u);
  EXPECT_EQ(batch.copies[0].from, scheduler.find(1)->pages[4].page());
  EXPECT_EQ(batch.copies[0].to, scheduler.find(2)->pages[4].page());
  EXPECT_NE(batch.copies[0].to, batch.copies[1].to);
  EXPECT_EQ(scheduler.find(3)->cached, 19);
  run(scheduler, batch);
}

// A scored row takes two of the step's; visual tokens are not scored, and the last row is the answer's.
TEST(Scheduler, ScoresThePromptInSmallerChunks) {
  Scheduler scheduler(small(20));
  SequenceSpec s = spec(1, 20);
  s.scores = true;
  s.prompt[3] = s.prompt[4] = -1;
  scheduler.add(std::move(s));
  std::vector<int> ends, rows;
  while (scheduler.find(1)->generated() == 0) {
    const Batch batch = scheduler.next(kNow);
    ends.push_back(batch.items[0].scores_end);
    rows.push_back(batch.rows());
    EXPECT_EQ(batch.items[0].scores(2), false);
    EXPECT_EQ(batch.items[0].scores(4), batch.items[0].first == 0);
    run(scheduler, batch);
  }
  EXPECT_THAT(ends, ElementsAre(9, 17, 19));
  EXPECT_THAT(rows, ElementsAre(16, 16, 5));
}

// Its pages serve others all the same, and its twin answers behind its scores.
TEST(Scheduler, WhatIsScoredIsComputedAndNotTakenFromOthers) {
  Scheduler scheduler(small(20));
  const auto ask = [&](SequenceId id, bool scores, SequenceId after = 0) {
    SequenceSpec s = spec(id, 12);
    s.cache_root = Fingerprint{1, 1};
    s.scores = scores;
    s.after = after;
    scheduler.add(std::move(s));
  };
  ask(1, false);
  run(scheduler, scheduler.next(kNow));
  scheduler.finish(1);
  ask(2, true);
  ask(3, false, 2);
  int computed = 0;
  while (scheduler.find(2)->generated() == 0) {
    const Batch batch = scheduler.next(kNow);
    ASSERT_EQ(batch.items.size(), 1u) << "the other waits";
    computed += batch.items[0].count;
    run(scheduler, batch);
  }
  EXPECT_EQ(computed, 12);
  EXPECT_EQ(scheduler.find(2)->cached, 0);
  run(scheduler, scheduler.next(kNow));
  EXPECT_EQ(scheduler.find(3)->cached, 11);
}

TEST(Scheduler, NamesAVisualTokenByWhatIsSeen) {
  Scheduler scheduler(small(20));
  const auto with_slice = [](SequenceId id, uint64_t slice) {
    SequenceSpec s = sharing(id, 14);
    const auto spans = spans_at({{2, 4}});
    spans->front().slice = Fingerprint{slice, slice};
    spans->front().ready = true;
    s.spans = spans;
    return s;
  };
  EXPECT_EQ(computed_of(scheduler, with_slice(1, 7)), 14);
  EXPECT_EQ(computed_of(scheduler, with_slice(2, 8)), 14) << "another slice at the same place";
  EXPECT_EQ(computed_of(scheduler, with_slice(3, 7)), 2);
  EXPECT_EQ(computed_of(scheduler, sharing(4, 14)), 14) << "no slice at all";
}

TEST(Scheduler, NeedsNoRowsOfASliceWhosePagesAreKept) {
  Scheduler scheduler(small(20));
  const auto spans = spans_at({{2, 4}});
  spans->front().slice = Fingerprint{7, 7};
  spans->front().ready = true;
  SequenceSpec first = sharing(1, 14);
  first.spans = spans;
  EXPECT_EQ(computed_of(scheduler, std::move(first)), 14);
  const auto again = spans_at({{2, 4}});
  SequenceSpec second = sharing(2, 14);
  second.spans = again;
  scheduler.add(std::move(second));
  const Batch text = scheduler.next(kNow);
  EXPECT_EQ(text.tokens, 2) << "what is seen is not known yet";
  run(scheduler, text);
  EXPECT_THAT(scheduler.next(kNow).items, IsEmpty());
  again->front().slice = Fingerprint{7, 7};
  const Batch rest = scheduler.next(kNow);
  ASSERT_EQ(rest.items.size(), 1u);
  EXPECT_EQ(rest.items[0].first, 12);
  run(scheduler, rest);
}

// On a device, a picture may be cut while a step with the text before it is under way.
TEST(Scheduler, FindsThePagesOfASliceWhileAStepIsUnderWay) {
  Scheduler scheduler(small(20));
  SequenceSpec first = sharing(1, 14);
  const auto seen = spans_at({{2, 4}});
  seen->front().slice = Fingerprint{7, 7};
  seen->front().ready = true;
  first.spans = seen;
  EXPECT_EQ(computed_of(scheduler, std::move(first)), 14);
  SequenceSpec second = sharing(2, 14);
  const auto again = spans_at({{2, 4}});
  second.spans = again;
  scheduler.add(std::move(second));
  const Batch text = scheduler.next(kNow);
  scheduler.launched(text);
  EXPECT_EQ(scheduler.adopt(2), 2) << "what is seen is not known yet";
  again->front().slice = Fingerprint{7, 7};
  EXPECT_EQ(scheduler.adopt(2), 12);
  EXPECT_EQ(scheduler.find(2)->computed, 2) << "the step writes to the begun page";
  scheduler.check_integrity();
  scheduler.complete(text, {});
  EXPECT_EQ(scheduler.adopt(2), 12);
  const Batch rest = scheduler.next(kNow);
  ASSERT_EQ(rest.items.size(), 1u);
  EXPECT_EQ(rest.items[0].first, 12);
  run(scheduler, rest);
}

TEST(Scheduler, ThePagesOfAnAnswerAreKeptForTheNextTurn) {
  Scheduler scheduler(small(20));
  scheduler.add(sharing(1, 5));
  for (int step = 0; step < 4; ++step) run(scheduler, scheduler.next(kNow));
  SequenceSpec next = sharing(2, 12);
  const std::vector<int32_t> before = scheduler.find(1)->tokens;
  std::copy(before.begin(), before.end(), next.prompt.begin());
  scheduler.finish(1);
  EXPECT_EQ(computed_of(scheduler, std::move(next)), 4) << "of nine tokens eight were computed";
}

TEST(Scheduler, ExpiresByTheTimeItIsGiven) {
  Scheduler scheduler(small(10));
  SequenceSpec s = spec(1, 4);
  s.deadline = kNow + std::chrono::seconds(5);
  scheduler.add(std::move(s));
  run(scheduler, scheduler.next(kNow));
  const Batch batch = scheduler.next(kNow + std::chrono::seconds(5));
  EXPECT_THAT(batch.expired, ElementsAre(1u));
  EXPECT_TRUE(scheduler.empty());
}

TEST(Scheduler, RefusesWhatCannotBeQueuedOrHeld) {
  Scheduler scheduler(small(4));
  EXPECT_EQ(scheduler.add(spec(1, 16, 1)), Admission::too_long);
  for (SequenceId id = 1; id <= 8; ++id) EXPECT_EQ(scheduler.add(spec(id, 2, 2)), Admission::queued);
  EXPECT_EQ(scheduler.add(spec(9, 2, 2)), Admission::queue_full);
}

TEST(Scheduler, RefusesABudgetThatDecodingCouldOverrun) {
  SchedulerOptions options = small(4);
  options.token_budget = 3;
  EXPECT_THROW(Scheduler{options}, Error);
}

}  // namespace
}  // namespace uhd
