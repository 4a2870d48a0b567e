// On the CPU, an answer's tokens and log-probabilities are the same to the last bit, whatever else the engine
// does and however it goes about it.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/error.h"
#include "model/weights/shard.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

struct Told {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  bool operator==(const Told&) const = default;
};

Told told(const AnswerListener& answer) {
  Told told{answer.ids, {}};
  for (const TokenLogprob& token : answer.logprobs) {
    told.logprobs.push_back(token.logprob);
    for (const auto& [bytes, logprob] : token.top) told.logprobs.push_back(logprob);
  }
  for (const PromptToken& token : answer.prompt) {
    if (!token.scored) continue;
    told.logprobs.push_back(token.logprob);
    for (const PromptToken::Likely& likely : token.top) told.logprobs.push_back(likely.logprob);
  }
  return told;
}

// One listener to each answer of a request.
using Answers = std::vector<std::shared_ptr<AnswerListener>>;

// There are none if the request is refused.
Answers ask(Engine& engine, const Request& request) {
  Answers answers;
  for (int i = 0; i < request.n; ++i) answers.push_back(std::make_shared<AnswerListener>());
  const auto taken = engine.submit(Request(request), [answers](TokenEvent&& event) {
    answers.at(static_cast<size_t>(event.answer))->sink()(std::move(event));
  });
  if (const auto* refused = std::get_if<Failure>(&taken)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return answers;
}

std::vector<Told> told_by_all(const Answers& answers) {
  std::vector<Told> all;
  for (const auto& answer : answers) all.push_back(told(answer->wait()));
  return all;
}

// One way of going about it.
struct Way {
  std::string name;
  std::function<void(EngineOptions&)> change;
  int encoders = 0;
  int answers = 1;  // of each request
};

class Exact : public testing::TestWithParam<Way> {
 public:
  // Two questions about one picture, one of them drawn, and two texts, one of them longer than a page. The
  // prompts of the drawn one and of the long text are scored.
  static std::vector<Request> requests(const std::string& model, int answers = 1) {
    const GoldenCase image = golden_case(model);
    std::vector<Request> requests(2, image.request);
    requests[1].messages.back().parts.push_back({.text = " And what else?"});
    requests[1].sampling.temperature = 1;
    requests[1].sampling.seed = 7;
    for (const int words : {1, 40}) {
      Request& text = requests.emplace_back();
      std::string question;
      for (int i = 0; i < words; ++i) question += "Where? ";
      text.messages.push_back({.role = "user", .parts = {{.text = question}}});
      text.sampling.temperature = 0;
    }
    requests[1].prompt_logprobs = requests[3].prompt_logprobs = 3;
    for (Request& request : requests) {
      request.sampling.logprobs = 2;
      request.stop.max_tokens = 12;
      request.stop.ignore_eos = true;
      request.n = answers;
    }
    return requests;
  }

  static EngineOptions options(const std::string& model) {
    EngineOptions options = tiny_options(golden_case(model).model);
    options.page_size = 16;
    options.tpot_target_ms = 0;
    return options;
  }

  // Each request and each of its answers alone, in an engine that keeps nothing.
  static std::vector<std::vector<Told>> alone(const std::string& model, int count) {
    EngineOptions options = Exact::options(model);
    options.prefix_cache = false;
    options.max_running = 1;
    std::vector<std::vector<Told>> answers;
    for (const Request& request : requests(model, count)) {
      const auto engine = make_engine(options, ranks(1, 0));
      answers.push_back(told_by_all(ask(*engine, request)));
    }
    return answers;
  }
};

TEST_P(Exact, AnswersAreThoseOfEachAlone) {
  double preempted = 0;
  for (const std::string model :
       {"uhd-v1-tiny/golden_image_2slices", "minicpmv26-tiny/golden_image_slices"}) {
    SCOPED_TRACE(model);
    const std::vector<std::vector<Told>> expected = alone(model, GetParam().answers);
    EngineOptions options = Exact::options(model);
    GetParam().change(options);
    const auto engine = make_engine(options, ranks(1, GetParam().encoders));
    const std::vector<Request> asked = requests(model, GetParam().answers);
    std::mt19937 random(5);
    for (int round = 0; round < 3; ++round) {
      std::vector<size_t> order;
      for (size_t copy = 0; copy < 2 * asked.size(); ++copy) order.push_back(copy % asked.size());
      std::ranges::shuffle(order, random);
      std::vector<Answers> answers;
      for (const size_t i : order) {
        Request request = asked[i];
        request.priority = static_cast<int>(random() % 5) - 2;
        answers.push_back(ask(*engine, request));
      }
      for (size_t i = 0; i < order.size(); ++i) {
        EXPECT_EQ(told_by_all(answers[i]), expected[order[i]]) << "request " << order[i];
      }
    }
    preempted += metric(*engine, "uhd_preemptions_total");
  }
  EXPECT_EQ(preempted > 0, GetParam().name == "InFewPages");
}

// Returns the answers by an engine of so many ranks.
std::vector<Told> answers_of_ranks(const std::string& model, int count, int encoders, bool deterministic) {
  EngineOptions options = Exact::options(model);
  options.deterministic = deterministic;
  const auto engine = make_engine(options, ranks(count, encoders));
  std::vector<Submitted> submitted;
  for (const Request& request : Exact::requests(model)) submitted.push_back(submit(*engine, request));
  std::vector<Told> answers;
  for (const Submitted& s : submitted) {
    EXPECT_EQ(s.refused.message, "");
    answers.push_back(told(s.answer->wait()));
    EXPECT_FALSE(answers.back().logprobs.empty());
  }
  return answers;
}

// Sums over ranks have fixed parts and a fixed order (engine.deterministic).
TEST(Deterministic, AnswersDoNotDependOnTheNumberOfRanks) {
  struct Ranks {
    int llm = 1, encoders = 0;
  };
  const std::map<std::string, std::vector<Ranks>> ways = {
      {"uhd-v1-tiny/golden_image_2slices", {{1, 2}, {2, 0}, {4, 2}}},
      {"minicpmv26-tiny/golden_image_slices", {{2, 2}}}};
  for (const auto& [model, others] : ways) {
    SCOPED_TRACE(model);
    const std::vector<Told> by_one = answers_of_ranks(model, 1, 0, true);
    for (const auto& [llm, encoders] : others) {
      EXPECT_EQ(answers_of_ranks(model, llm, encoders, true), by_one) << llm << " and " << encoders;
    }
    EXPECT_NE(answers_of_ranks(model, 1, 0, false), by_one) << "the sums have parts";
  }
}

TEST(Deterministic, RefusesANumberOfRanksThatDoesNotDivideTheParts) {
  LanguageConfig language;
  language.heads = 12;
  language.intermediate = 30;
  EXPECT_EQ(virtual_shards(language, 2), 2);
  EXPECT_THROW(virtual_shards(language, 4), Error);
  language.intermediate = 96;
  EXPECT_EQ(virtual_shards(language, 1), 4);
  EXPECT_THROW(virtual_shards(language, 3), Error);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, Exact,
    testing::Values(Way{"AtOnce", [](EngineOptions&) {}},
                    Way{"WithoutCaches",
                        [](EngineOptions& o) {
                          o.prefix_cache = false;
                          o.visual_cache_bytes = 0;
                        }},
                    Way{"InSmallSteps", [](EngineOptions& o) { o.token_budget = o.max_running + 1; }},
                    Way{"InTurnsOfNoTime", [](EngineOptions& o) { o.tpot_target_ms = 1e-3; }},
                    Way{"SliceBySlice", [](EngineOptions& o) { o.encoders.batch_patches = 1; }},
                    Way{"InFewPages",
                        [](EngineOptions& o) {
                          o.context_length = 512;
                          o.kv_memory_bytes = int64_t{44} * 16 * 4 * 2 * 256 * 4;
                          o.prefix_cache = false;  // shared pages would be enough
                        }},
                    Way{"ByTwoEncoders", [](EngineOptions&) {}, 2},
                    Way{"ThreeAnswersEach", [](EngineOptions&) {}, 0, 3}),
    [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace uhd
