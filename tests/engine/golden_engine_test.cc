// Checks the published models' greedy tokens through the whole engine, whatever the number of ranks, the
// chunks of prefill, the pages and the company.
#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

struct Shape {
  std::string name;
  int tensor_parallel = 1;
  int encoders = 0;
  int token_budget = 512;
};

EngineOptions options_for(const GoldenCase& c, const Shape& shape) {
  EngineOptions options = tiny_options(c.model);
  options.vision_tower = c.vision_tower;
  options.token_budget = shape.token_budget;
  options.context_length = c.context;
  options.image.max_slices = c.image.max_slices;
  options.image.prescale_longest = c.image.prescale_longest;
  return options;
}

void expect_golden(const GoldenCase& c, const AnswerListener& answer) {
  EXPECT_EQ(answer.failure.message, "");
  EXPECT_EQ(answer.ids, c.ids);
  EXPECT_EQ(answer.finish, FinishReason::length);
  EXPECT_EQ(answer.usage.prompt_tokens, c.prompt_tokens);
}

void run_all(bool images, const Shape& shape) {
  const std::vector<GoldenCase> cases = golden_cases(images);
  ASSERT_FALSE(cases.empty()) << "no golden conversations were found";
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    const auto engine = make_engine(options_for(c, shape), ranks(shape.tensor_parallel, shape.encoders));
    const Submitted submitted = submit(*engine, c.request);
    ASSERT_EQ(submitted.refused.message, "");
    EXPECT_EQ(submitted.accepted.prompt_tokens, c.prompt_tokens);
    expect_golden(c, submitted.answer->wait());
  }
}

class GoldenText : public ::testing::TestWithParam<Shape> {};
TEST_P(GoldenText, GreedyTokensAreThePublishedModels) { run_all(false, GetParam()); }

class GoldenImages : public ::testing::TestWithParam<Shape> {};
TEST_P(GoldenImages, GreedyTokensAreThePublishedModels) { run_all(true, GetParam()); }

std::string name_of(const ::testing::TestParamInfo<Shape>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Ranks, GoldenText,
                         ::testing::Values(Shape{"One"}, Shape{"Two", 2}, Shape{"Four", 4},
                                           Shape{"OneInSmallChunks", 1, 0, 8}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Ranks, GoldenImages,
                         ::testing::Values(Shape{"One"}, Shape{"Two", 2}, Shape{"Four", 4},
                                           Shape{"FourAndEncoder", 4, 1}, Shape{"OneAndEncoder", 1, 1},
                                           Shape{"TwoAndThreeEncoders", 2, 3},
                                           Shape{"OneInSmallChunks", 1, 0, 31}),
                         name_of);

}  // namespace
}  // namespace uhd
