// Tests that the engine says where a model that thinks begins: by its template, and by the end of a prompt.
#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

Accepted accepted_of(Engine& engine, const std::string& prompt) {
  Request request;
  request.prompt = prompt;
  request.stop.max_tokens = 1;
  const Submitted submitted = submit(engine, request);
  EXPECT_EQ(submitted.refused.message, "");
  submitted.answer->wait();
  return submitted.accepted;
}

TEST(Thinking, IsKnownByTheTemplateAndTheEndOfThePrompt) {
  const auto engine = make_engine(tiny_options(golden_case("qwen3-tiny/golden_text").model), ranks(1, 0));
  EXPECT_TRUE(engine->model().thinks);
  EXPECT_TRUE(accepted_of(*engine, "why <think>\n").thinking);
  EXPECT_TRUE(accepted_of(*engine, "<think>").thinking);
  EXPECT_FALSE(accepted_of(*engine, "<think>\n\n</think>\n\n").thinking);
  EXPECT_FALSE(accepted_of(*engine, "a").thinking);
}

TEST(Thinking, IsNotLookedForInOtherModels) {
  const auto engine = make_engine(tiny_options(golden_case("uhd-v1-tiny/golden_text").model), ranks(1, 0));
  EXPECT_FALSE(engine->model().thinks);
}

}  // namespace
}  // namespace uhd
