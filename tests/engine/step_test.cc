#include "engine/step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/prompt.h"
#include "tests/support/visual_spans.h"

namespace uhd {
namespace {

using ::testing::ElementsAre;

// Two sequences on pages of 4: one decodes its token 5, one prefills tokens 2 to 6 over a visual span 3 to 5.
class BuildForwardInput : public ::testing::Test {
 protected:
  BuildForwardInput() : pool_(8) {
    decoding_.id = 1;
    decoding_.tokens = {10, 11, 12, 13, 14, 15};
    prefilling_.id = 2;
    prefilling_.tokens = {20, 21, 22, kVisualToken, kVisualToken, kVisualToken, 26, 27};
    prefilling_.spans = spans_at({{3, 3}});
    for (Sequence* s : {&decoding_, &prefilling_}) {
      s->pages.push_back(pool_.take());
      s->pages.push_back(pool_.take());
    }
    batch_.items = {{&decoding_, 5, 1, true}, {&prefilling_, 2, 5, false}};
  }

  PagePool pool_;
  Sequence decoding_, prefilling_;
  Batch batch_;
};

TEST_F(BuildForwardInput, LaysTokensOutForTheKernels) {
  const std::vector<int32_t> rows = {70, 71, 72};
  ForwardInput input;
  build_forward_input(input, batch_, 4, [&](const VisualSpan& span) -> std::span<const int32_t> {
    EXPECT_EQ(&span, &prefilling_.spans->front());
    return rows;
  });
  EXPECT_THAT(input.ids, ElementsAre(15, 22, kVisualToken, kVisualToken, kVisualToken, 26));
  EXPECT_THAT(input.positions, ElementsAre(5, 2, 3, 4, 5, 6));
  EXPECT_THAT(input.slots, ElementsAre(5, 10, 11, 12, 13, 14));
  EXPECT_THAT(input.q_offsets, ElementsAre(0, 1, 6));
  EXPECT_THAT(input.kv_lengths, ElementsAre(6, 7));
  EXPECT_THAT(input.page_table, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(input.max_pages, 2);
  EXPECT_THAT(input.visual_at, ElementsAre(2, 3, 4));
  EXPECT_THAT(input.visual_rows, ElementsAre(70, 71, 72));
  EXPECT_THAT(input.sample_at, ElementsAre(0));
  EXPECT_THAT(input.drawn_at, ElementsAre());
}

// Behind token 2 stands a picture; the rows before text are scored.
TEST_F(BuildForwardInput, NamesTheRowsThatAreScored) {
  batch_.items[1].scores_from = 2;
  batch_.items[1].scores_end = 7;
  const std::vector<int32_t> rows = {70, 71, 72};
  ForwardInput input;
  build_forward_input(input, batch_, 4, [&](const VisualSpan&) { return std::span<const int32_t>(rows); });
  EXPECT_THAT(input.score_at, ElementsAre(4, 5)) << "of the tokens 5 and 6";
}

TEST_F(BuildForwardInput, TakesOnlyTheRowsOfItsChunk) {
  batch_.items = {{&prefilling_, 4, 1, false}};
  const std::vector<int32_t> rows = {70, 71, 72};
  ForwardInput input;
  build_forward_input(input, batch_, 4, [&](const VisualSpan&) { return std::span<const int32_t>(rows); });
  EXPECT_THAT(input.visual_at, ElementsAre(0));
  EXPECT_THAT(input.visual_rows, ElementsAre(71));
}

// The last token of the decoding sequence is the third that the step before draws; nobody knows it yet.
TEST_F(BuildForwardInput, NamesTheTokensThatAreStillDrawn) {
  decoding_.tokens.pop_back();
  decoding_.awaited = 1;
  decoding_.awaited_at = 2;
  ForwardInput input;
  const std::vector<int32_t> rows = {70, 71, 72};
  const auto rows_of = [&](const VisualSpan&) { return std::span<const int32_t>(rows); };
  build_forward_input(input, batch_, 4, rows_of);
  EXPECT_THAT(input.ids, ElementsAre(0, 22, kVisualToken, kVisualToken, kVisualToken, 26));
  EXPECT_THAT(input.drawn_at, ElementsAre(2, -1, -1, -1, -1, -1));
  EXPECT_THAT(input.positions, ElementsAre(5, 2, 3, 4, 5, 6));
  decoding_.awaited = 0;
  EXPECT_THROW(build_forward_input(input, batch_, 4, rows_of), Error);
}

TEST_F(BuildForwardInput, RefusesRowsThatDoNotFitTheSpan) {
  const std::vector<int32_t> rows = {70};
  ForwardInput input;
  EXPECT_THROW(build_forward_input(input, batch_, 4,
                                   [&](const VisualSpan&) { return std::span<const int32_t>(rows); }),
               Error);
}

TEST(StepPlan, TravelsWhole) {
  StepPlan plan;
  plan.number = 7;
  plan.choice = TokenChoice::drawn;
  plan.masked = true;
  plan.masks = {{0, 3}, {1, 2, 3, 4}};
  plan.placements = {{{1, 2}}, {{9}}};
  plan.input = probe_input(3, 64);
  append_draw(make_draw(0.5f, 3, 0.9f, 0.1f, 7), plan.input.draws);
  std::vector<std::byte> bytes;
  Writer{bytes}(plan);
  StepPlan read;
  Reader reader(bytes);
  reader(read);
  EXPECT_EQ(reader.left(), 0u);
  EXPECT_EQ(read.number, 7u);
  EXPECT_EQ(read.choice, TokenChoice::drawn);
  EXPECT_TRUE(read.masked);
  EXPECT_EQ(read.masks.rows, plan.masks.rows);
  EXPECT_EQ(read.masks.words, plan.masks.words);
  EXPECT_EQ(read.input.draws, plan.input.draws);
  ASSERT_EQ(read.placements.size(), 2u);
  EXPECT_EQ(read.placements[0].rows, plan.placements[0].rows);
  EXPECT_EQ(read.input.slots, plan.input.slots);
}

}  // namespace
}  // namespace uhd
