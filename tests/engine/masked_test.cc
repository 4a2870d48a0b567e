// Answers that follow a grammar, beside others and on several ranks: tests/engine/fake_grammar_plugin.cc says
// which tokens may come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "tests/engine/engine_fixture.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

class Masked : public testing::TestWithParam<int> {
 protected:
  Masked() {
    EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_text").model);
    engine_ = make_engine(options, ranks(GetParam(), 0));
  }

  static Request asks(int first, float temperature) {
    Request request;
    for (int32_t i = 0; i < 12; ++i) request.prompt_ids.push_back(first + i * 7);
    request.sampling.temperature = temperature;
    request.sampling.seed = 5;
    request.stop.max_tokens = 20;
    request.stop.ignore_eos = true;
    return request;
  }
  static Request follows(Request request, const std::string& ids) {
    request.sampling.grammar = GrammarSpec{GrammarKind::regex, ids};
    return request;
  }
  std::vector<int32_t> alone(const Request& request) { return answers_of(*engine_, request)[0]; }

  std::unique_ptr<Engine> engine_;
};

TEST_P(Masked, AnswersFollowTheirGrammarsAndOthersStayAsTheyAre) {
  const std::vector<Request> free{asks(40, 0), asks(90, 1), asks(200, 0.7f)};
  std::vector<std::vector<int32_t>> wanted;
  for (const Request& request : free) wanted.push_back(alone(request));

  // Chosen as the largest, drawn, and by the host; and with another number of rows from step to step.
  Request by_host = follows(asks(60, 0), "7 300 9");
  by_host.sampling.repetition_penalty = 1.3f;
  const std::vector<Request> masked{follows(asks(50, 0), "300 4 999 17 31 64 63"),
                                    follows(asks(70, 1), "32 31 33"), by_host};
  const std::vector<std::vector<int32_t>> runs{{300, 4, 999, 17, 31, 64, 63}, {32, 31, 33}, {7, 300, 9}};
  std::vector<Submitted> others, followers;
  for (size_t i = 0; i < free.size(); ++i) {
    others.push_back(submit(*engine_, free[i]));
    followers.push_back(submit(*engine_, masked[i]));
  }
  for (size_t i = 0; i < free.size(); ++i) {
    EXPECT_EQ(others[i].answer->wait().ids, wanted[i]);
    const AnswerListener& follower = followers[i].answer->wait();
    EXPECT_EQ(follower.finish, FinishReason::stop) << follower.failure.message;
    ASSERT_EQ(follower.ids.size(), runs[i].size() + 1);
    EXPECT_TRUE(std::equal(runs[i].begin(), runs[i].end(), follower.ids.begin()));
  }
  EXPECT_TRUE(becomes_idle(*engine_));
}

TEST_P(Masked, AGrammarThatNoTokenContinuesEndsItsOwnAnswer) {
  const Request free = asks(40, 0);
  const std::vector<int32_t> wanted = alone(free);
  for (const float temperature : {0.0f, 1.0f}) {
    const Submitted stuck = submit(*engine_, follows(asks(50, temperature), "300 4 -1 7"));
    const Submitted other = submit(*engine_, free);
    EXPECT_EQ(stuck.answer->wait().failure.code, "grammar_failed");
    EXPECT_EQ(other.answer->wait().ids, wanted);
  }
  EXPECT_TRUE(becomes_idle(*engine_));
}

TEST_P(Masked, WaitsForItsTurnAtTheCompilerIfItCan) {
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "slow";
  auto slow = std::async(std::launch::async,
                         [&] { return alone(follows(asks(50, 0), "await " + path.string() + " 300 4")); });
  while (!std::filesystem::exists(path.string() + ".begun"))
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  Request asked = follows(asks(60, 0), "7 9");
  const auto submitted = [&] { return engine_->submit(std::move(asked), [](TokenEvent&&) {}); };
  const auto refusal = [&] { return std::get<Failure>(submitted()); };
  const TimePoint now = Clock::now();
  EXPECT_EQ(refusal().again_s, 0) << "nobody sees what becomes of it later";
  asked.last_byte = now;
  for (int i = 0; i < 2; ++i) {
    EXPECT_GT(refusal().again_s, 0);
    EXPECT_EQ(refusal().code, "grammar_busy");
  }
  asked.deadline = now;
  EXPECT_EQ(refusal().again_s, 0) << "its time is over";
  asked.deadline.reset();
  asked.last_byte = now - std::chrono::minutes(1);
  EXPECT_EQ(refusal().again_s, 0) << "it has waited for long";
  EXPECT_THAT(engine_->metrics_text(), testing::HasSubstr(R"(code="grammar_busy"} 3)"));
  std::ofstream(path.string() + ".go").close();
  EXPECT_EQ(slow.get().size(), 3u);
  EXPECT_TRUE(std::holds_alternative<Accepted>(submitted())) << "it is as it was";
  EXPECT_TRUE(becomes_idle(*engine_));
}

TEST_P(Masked, EndsWhereItIsCancelled) {
  const Submitted cancelled = submit(*engine_, follows(asks(50, 0), "300 4 999 17 31 64 63 8 9 10 11 12"));
  cancelled.answer->wait_for_tokens(1);
  engine_->cancel(cancelled.id);
  cancelled.answer->wait();
  EXPECT_EQ(alone(follows(asks(50, 0), "300 4")).size(), 3u);
  EXPECT_TRUE(becomes_idle(*engine_));
}

// Its prompt is scored in the same steps.
TEST_P(Masked, APromptIsScoredBesideIt) {
  Request scored = asks(40, 0);
  scored.prompt_logprobs = 2;
  const Submitted first = submit(*engine_, scored);
  first.answer->wait();
  const Submitted beside = submit(*engine_, follows(asks(50, 0), "300 4 999 17 31 64 63"));
  const Submitted again = submit(*engine_, scored);
  EXPECT_EQ(again.answer->wait().ids, first.answer->ids);
  ASSERT_EQ(again.answer->prompt.size(), first.answer->prompt.size());
  for (size_t i = 1; i < first.answer->prompt.size(); ++i) {
    EXPECT_EQ(again.answer->prompt[i].logprob, first.answer->prompt[i].logprob);
  }
  EXPECT_EQ(beside.answer->wait().ids.size(), 8u);
}

TEST_P(Masked, SeveralAnswersOfARequestHaveMasksOfTheirOwn) {
  Request three = follows(asks(50, 1), "300 4 999");
  three.n = 3;
  for (const std::vector<int32_t>& answer : answers_of(*engine_, three)) {
    ASSERT_EQ(answer.size(), 4u);
    EXPECT_EQ((std::vector<int32_t>(answer.begin(), answer.begin() + 3)),
              (std::vector<int32_t>{300, 4, 999}));
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Masked, testing::Values(1, 2));

}  // namespace
}  // namespace uhd
