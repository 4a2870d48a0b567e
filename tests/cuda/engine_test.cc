// Runs the engine on an emulated device: with steps recorded and overlapped, on one rank and on two, requests
// get the answers that they get on the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "engine/launch/model_files.h"
#include "model/vision/png_writer.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

struct Form {
  std::string name;
  int ranks = 1;
  bool graphs = true;
  bool overlap = true;
  const char* ipc = "off";
};

std::filesystem::path model() { return golden_case("uhd-v1-tiny/golden_text").model; }

// Pages of 8, so that answers cross their borders.
EngineOptions options_of(const Form& form, const char* kind) {
  EngineOptions options = tiny_options(model());
  options.backend.kind = kind;
  options.backend.graphs = form.graphs;
  options.overlap = form.overlap;
  options.page_size = 8;
  options.context_length = 64;
  options.max_running = 4;
  options.token_budget = 24;
  options.kv_memory_bytes = int64_t{40} * 8 * 4 * 2 * 256 * 4;  // 40 pages
  options.visual_cache_bytes = 1 << 20;
  return options;
}

Request greedy(int prompt, int tokens) {
  Request request;
  for (int i = 0; i < prompt; ++i) request.prompt_ids.push_back(5 + (prompt * 31 + i * 17) % 900);
  request.sampling.temperature = 0;
  request.stop.max_tokens = tokens;
  request.stop.ignore_eos = true;
  return request;
}

// The answers have different lengths, so that the number of sequences that decode together rises and falls.
std::vector<Request> requests() {
  std::vector<Request> all{greedy(5, 14), greedy(9, 6), greedy(3, 1), greedy(14, 9), greedy(6, 4)};
  Request drawn = greedy(7, 6);  // on the device, among the others
  drawn.sampling.temperature = 1;
  drawn.sampling.seed = 11;
  all.push_back(drawn);
  drawn.sampling.temperature = 0.8f;
  drawn.sampling.top_k = 50;
  drawn.sampling.top_p = 0.9f;
  drawn.sampling.min_p = 0.01f;
  all.push_back(drawn);
  Request penalised = greedy(8, 5);  // by the host
  penalised.sampling.repetition_penalty = 1.5f;
  all.push_back(penalised);
  return all;
}

using Ids = std::vector<std::vector<int32_t>>;  // of several answers

Ids answers(Engine& engine, const std::vector<Request>& asked) {
  std::vector<Submitted> submitted;
  for (const Request& request : asked) submitted.push_back(submit(engine, request));
  Ids ids;
  for (const Submitted& one : submitted) {
    EXPECT_EQ(one.refused.message, "");
    EXPECT_EQ(one.answer->wait().finish, FinishReason::length) << one.answer->failure.message;
    EXPECT_EQ(one.answer->events_after_the_last, 0);
    ids.push_back(one.answer->ids);
  }
  return ids;
}

const Ids& wanted() {
  static const Ids ids = answers(*make_engine(options_of({}, "cpu"), ranks(1, 0)), requests());
  return ids;
}

// The last of them a step after the last event: looks again until they have, for a minute at most.
bool pages_come_back(const Engine& engine) {
  const TimePoint limit = Clock::now() + std::chrono::minutes(1);
  const auto all = [&] { return engine.stats().free_pages == engine.stats().total_pages; };
  while (!all() && Clock::now() < limit) std::this_thread::yield();
  return all();
}

// Collects the names of calls that make, take or query something.
class FirstUses {
 public:
  FirstUses() {
    emulation::watch_cuda([this](std::string_view call) {
      if (call == "cudaGraphLaunch") return;
      const std::lock_guard lock(mutex_);
      seen_.emplace(call);
    });
  }
  ~FirstUses() { emulation::watch_cuda({}); }
  FirstUses(const FirstUses&) = delete;
  FirstUses& operator=(const FirstUses&) = delete;

  std::set<std::string> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;
};

class CudaEngine : public testing::TestWithParam<Form> {
 protected:
  CudaEngine() { emulation::set_devices(4); }
  ~CudaEngine() override { EXPECT_EQ(emulation::failure(), ""); }
  std::unique_ptr<Engine> engine() const {
    ClusterOptions cluster = ranks(GetParam().ranks, 0);
    cluster.ipc_all_reduce = GetParam().ipc;
    return make_engine(options_of(GetParam(), "cuda"), cluster);
  }
};

TEST_P(CudaEngine, AnswersAsOnTheCpu) {
  const auto engine = this->engine();
  EXPECT_EQ(answers(*engine, requests()), wanted());
  EXPECT_TRUE(becomes_idle(*engine));
}

// The fake plugin's grammar is the ids of the only answer. The others are drawn on the device as ever.
TEST_P(CudaEngine, FollowsMasksBesideOthers) {
  const auto engine = this->engine();
  Request masked = requests()[2], drawn = requests()[5];
  for (Request* request : {&masked, &drawn}) request->stop.max_tokens = 9;
  masked.sampling.grammar = GrammarSpec{GrammarKind::regex, "300 4 999 17 31 64 63"};
  drawn.sampling.grammar = GrammarSpec{GrammarKind::regex, "32 31 33"};
  const Submitted first = submit(*engine, masked), second = submit(*engine, drawn);
  EXPECT_EQ(answers(*engine, {requests()[0], requests()[6]}), (Ids{wanted()[0], wanted()[6]}));
  EXPECT_THAT(first.answer->wait().ids, testing::ElementsAre(300, 4, 999, 17, 31, 64, 63, testing::_));
  EXPECT_THAT(second.answer->wait().ids, testing::ElementsAre(32, 31, 33, testing::_));
  EXPECT_EQ(first.answer->finish, FinishReason::stop);
  EXPECT_TRUE(becomes_idle(*engine));
}

// Steps that were launched before the end was known leave nothing behind: no token, no page.
TEST_P(CudaEngine, EndsWhereItsStopTokenIsAndGivesItsPagesBack) {
  const auto engine = this->engine();
  Request stops = requests()[0];
  const std::vector<int32_t>& whole = wanted()[0];
  stops.stop.stop_ids = {whole[6]};
  const auto end = std::find(whole.begin(), whole.end(), whole[6]) + 1;
  const Submitted first = submit(*engine, stops);
  const Submitted beside = submit(*engine, requests()[1]);
  EXPECT_EQ(first.answer->wait().finish, FinishReason::stop);
  EXPECT_EQ(first.answer->ids, std::vector<int32_t>(whole.begin(), end));
  EXPECT_EQ(first.answer->usage.completion_tokens, end - whole.begin());
  EXPECT_EQ(beside.answer->wait().ids, wanted()[1]);
  EXPECT_EQ(answers(*engine, {requests()[3]}), Ids{wanted()[3]});
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_EQ(first.answer->events_after_the_last, 0);
  EXPECT_TRUE(pages_come_back(*engine));
}

TEST_P(CudaEngine, CancelsWhileStepsAreUnderWay) {
  const auto engine = this->engine();
  const Submitted cancelled = submit(*engine, greedy(5, 50));
  const Submitted beside = submit(*engine, requests()[3]);
  cancelled.answer->wait_for_tokens(3);
  engine->cancel(cancelled.id);
  EXPECT_EQ(cancelled.answer->wait().finish, FinishReason::cancelled);
  EXPECT_EQ(beside.answer->wait().ids, wanted()[3]);
  EXPECT_EQ(answers(*engine, {requests()[0]}), Ids{wanted()[0]});
  EXPECT_EQ(cancelled.answer->events_after_the_last, 0);
}

INSTANTIATE_TEST_SUITE_P(Forms, CudaEngine,
                         testing::Values(Form{"RecordedAndOverlapped"}, Form{"Recorded", 1, true, false},
                                         Form{"Overlapped", 1, false, true}, Form{"TwoRanks", 2},
                                         Form{"TwoRanksPlain", 2, false, false},
                                         Form{"TwoRanksByIpc", 2, true, true, "on"}),
                         [](const auto& test) { return test.param.name; });

// The things that only a first use makes are made before there are requests.
TEST_P(CudaEngine, MakesNothingForTheFirstTimeOnceItServes) {
  FirstUses at_start;
  const auto engine = this->engine();
  EXPECT_THAT(at_start.seen(), testing::Contains("cublasLtMatmulAlgoGetHeuristic"));
  EXPECT_EQ(at_start.seen().contains("cudaStreamBeginCapture"), GetParam().graphs);
  FirstUses later;
  answers(*engine, requests());
  for (const int prompt : {1, 2, 7, 13, 24, 30}) answers(*engine, {greedy(prompt, 2)});
  Request masked = requests()[5];
  masked.sampling.grammar = GrammarSpec{GrammarKind::regex, "32 31 33"};
  submit(*engine, masked).answer->wait();
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_THAT(later.seen(), testing::IsEmpty());
}

// Prompts are scored while others decode; the sums are those of the device's matrices in f32.
TEST(CudaEngines, ScoreAPromptAsTheCpuDoes) {
  emulation::set_devices(2);
  Request scored = greedy(30, 3);
  scored.prompt_logprobs = 2;
  const auto cpu = make_engine(options_of({}, "cpu"), ranks(1, 0));
  const Submitted expected = submit(*cpu, scored);
  expected.answer->wait();
  const auto engine = make_engine(options_of({}, "cuda"), ranks(2, 0));
  const Submitted beside = submit(*engine, requests()[0]);
  const Submitted asked = submit(*engine, scored);
  EXPECT_EQ(asked.answer->wait().ids, expected.answer->ids);
  EXPECT_EQ(beside.answer->wait().ids, wanted()[0]);
  ASSERT_EQ(asked.answer->prompt.size(), 30u);
  for (size_t i = 1; i < 30; ++i) {
    const PromptToken& token = asked.answer->prompt[i];
    EXPECT_EQ(token.id, scored.prompt_ids[i]);
    EXPECT_TRUE(token.scored);
    EXPECT_NEAR(token.logprob, expected.answer->prompt[i].logprob, 1e-3);
    EXPECT_EQ(token.rank, expected.answer->prompt[i].rank);
    EXPECT_EQ(token.top[0].id, expected.answer->prompt[i].top[0].id);
  }
  EXPECT_EQ(emulation::failure(), "");
}

// This also holds for the largest steps, whose plans are many.
TEST(CudaEngines, MakeNothingForTheFirstTimeForALongPrompt) {
  emulation::set_devices(4);
  EngineOptions options = options_of({}, "cuda");
  options.context_length = options.token_budget = 800;
  options.max_running = 1;
  options.kv_memory_bytes = int64_t{100} * 8 * 4 * 2 * 256 * 4;  // 100 pages
  const auto engine = make_engine(options, ranks(1, 0));
  FirstUses later;
  answers(*engine, {greedy(785, 2)});
  EXPECT_THAT(later.seen(), testing::IsEmpty());
  EXPECT_EQ(emulation::failure(), "");
}

Request asks_about(int width, int height) {
  Image picture{width, height, std::vector<uint8_t>(size_t{3} * static_cast<size_t>(width * height), 90)};
  Request request = greedy(0, 2);
  request.messages = {
      {"user", {{"", std::make_shared<const std::string>(encode_png(picture))}, {"What?", nullptr}}}};
  return request;
}

// And of pictures, whether the leader encodes or a rank of its own does, which takes memory of a link as it
// joins.
TEST(CudaEngines, MakeNothingForTheFirstTimeForAPicture) {
  for (const int encoders : {0, 1}) {
    emulation::set_devices(4);
    EngineOptions options = options_of({}, "cuda");
    options.context_length = 512;
    options.kv_memory_bytes = int64_t{128} * 8 * 4 * 2 * 256 * 4;  // 128 pages
    const auto engine = make_engine(options, ranks(1, encoders));
    FirstUses later;
    answers(*engine, {asks_about(64, 96)});
    answers(*engine, {asks_about(180, 60)});
    if (encoders == 0) {
      EXPECT_THAT(later.seen(), testing::IsEmpty());
    } else {
      EXPECT_THAT(later.seen(), testing::Not(testing::Contains("cublasLtMatmulAlgoGetHeuristic")));
    }
    EXPECT_EQ(emulation::failure(), "");
  }
}

// Returns the answers to a question about a picture that comes twice, the second time after questions about
// pictures of other widths. `look` sees the engine before the second time, and after it.
Ids asked_twice(const EngineOptions& options, Request question, const std::vector<int>& others,
                const std::function<void(const Engine&)>& look) {
  question.stop.max_tokens = 3;
  question.sampling.temperature = 1;
  question.sampling.seed = 11;
  const auto engine = make_engine(options, ranks(1, 0));
  Ids ids = answers_of(*engine, question);
  for (const int width : others) answers(*engine, {asks_about(width, 64)});
  look(*engine);
  for (const auto& answer : answers_of(*engine, question)) ids.push_back(answer);
  look(*engine);
  return ids;
}

TEST(CudaEngines, AnswerSeveralTimesFromKeptPagesAsTheCpuDoes) {
  emulation::set_devices(4);
  Request question = asks_about(64, 96);
  question.n = 3;
  const auto found = [&](const char* kind) {
    EngineOptions options = options_of({}, kind);
    options.context_length = 512;
    options.kv_memory_bytes = int64_t{128} * 8 * 4 * 2 * 256 * 4;  // 128 pages
    std::vector<double> prefilled;
    const Ids ids = asked_twice(options, question, {}, [&](const Engine& engine) {
      prefilled.push_back(metric(engine, "uhd_prefill_tokens_total"));
    });
    EXPECT_LT(prefilled[1], 1.5 * prefilled[0]) << kind;
    return ids;
  };
  EXPECT_EQ(found("cuda"), found("cpu"));
  EXPECT_EQ(emulation::failure(), "");
}

// The store holds two pieces.
TEST(CudaEngines, AnswerFromRowsInHostMemoryAsTheCpuDoes) {
  emulation::set_devices(4);
  const auto found = [&](const char* kind) {
    EngineOptions options = options_of({}, kind);
    options.context_length = 512;
    options.kv_memory_bytes = int64_t{128} * 8 * 4 * 2 * 256 * 4;  // 128 pages
    options.prefix_cache = false;                                  // kept pages would be enough
    options.visual_cache_bytes = 0;
    options.visual_cache_host_bytes = 1 << 24;
    options.image.max_slices = 1;
    std::vector<double> kept;
    const Ids ids = asked_twice(options, asks_about(64, 96), {48, 80}, [&](const Engine& engine) {
      kept.push_back(metric(engine, "uhd_slices_kept_total"));
    });
    EXPECT_EQ(kept[0], 0) << kind;
    EXPECT_GT(kept[1], 0) << kind;
    return ids;
  };
  EXPECT_EQ(found("cuda"), found("cpu"));
  EXPECT_EQ(emulation::failure(), "");
}

// A rank that hangs, and is told of by nothing: the others end in the time of a step, streams with an error,
// though their steps are recorded; and nothing is left that hangs.
TEST(CudaEngines, EndWhenARankHangs) {
  for (const int hanging : {0, 1}) {
    emulation::set_devices(4);
    std::latch ended(1);
    ClusterOptions cluster = ranks(2, 0);
    cluster.step_deadline_s = 15;
    const auto engine = make_engine(options_of({}, "cuda"), cluster);
    const Submitted first = submit(*engine, greedy(5, 50));
    first.answer->wait_for_tokens(3);
    emulation::watch_cuda([&](std::string_view call) {
      if (call == "cudaGraphLaunch" && emulation::current_device() == hanging) ended.wait();
    });
    EXPECT_EQ(first.answer->wait().finish, FinishReason::error);
    EXPECT_EQ(first.answer->failure.code, "engine_failed");
    EXPECT_EQ(submit(*engine, greedy(5, 5)).refused.kind, FailureKind::unavailable);
    emulation::watch_cuda({});
    ended.count_down();
  }
  EXPECT_EQ(emulation::failure(), "");
}

// Prompts of more rows than keep their activations whole: the answers are the same with recorded steps and
// without, and an older device has no fp8.
TEST(CudaEngines, AnswerWithQuantizedActivations) {
  emulation::set_devices(4);
  EngineOptions options = options_of({}, "cuda");
  options.token_budget = 48;
  options.backend.quantize_activations = true;
  options.quantize = "fp8";
  EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("needs a device of sm_89 or later")));
  options.quantize = "int8";
  // Requests run one by one, because the rows that stand together decide which become codes.
  const auto found = [&] {
    const auto engine = make_engine(options, ranks(1, 0));
    FirstUses later;
    const Ids ids{answers(*engine, {greedy(45, 6)})[0], answers(*engine, {greedy(40, 4)})[0]};
    EXPECT_THAT(later.seen(), testing::IsEmpty());
    return ids;
  };
  const Ids recorded = found();
  options.backend.graphs = options.overlap = false;
  EXPECT_EQ(found(), recorded);
  EXPECT_EQ(emulation::failure(), "");
}

// Activations on a device have one type: the bundled checkpoint's wish gives way, a user's does not.
TEST(CudaEngines, RunTheTowerAsTheLanguageModel) {
  EngineOptions options = options_of({}, "cuda");
  options.model_path = std::filesystem::path(UHD_SOURCE_DIR) / "models/nano-uhd";
  options.dtype = "bf16";
  const auto format = [&] {
    const ModelFiles files = open_model(options);
    return tower_format(files, options, *make_rank_backend(files, options));
  };
  EXPECT_EQ(format(), WeightFormat::bf16);
  options.vision_dtype = "f32";
  EXPECT_THAT(format, testing::ThrowsMessage<Error>(testing::HasSubstr("not implemented by this backend")));
  options.dtype = "f32";
  EXPECT_EQ(format(), WeightFormat::f32);
  EXPECT_EQ(emulation::failure(), "");
}

// Pages for little more than one of them: sequences are preempted while a step of theirs is under way.
TEST(CudaEngines, AnswerAsOnTheCpuThoughPagesRunOut) {
  emulation::set_devices(4);
  EngineOptions options = options_of({}, "cuda");
  options.context_length = 32;
  options.prefix_cache = false;                                // shared pages would be enough
  options.kv_memory_bytes = int64_t{5} * 8 * 4 * 2 * 256 * 4;  // 5 pages
  const auto engine = make_engine(options, ranks(1, 0));
  const std::vector<Request> all = requests();
  EXPECT_EQ(answers(*engine, {all[0], all[1], all[3]}), (Ids{wanted()[0], wanted()[1], wanted()[3]}));
  const std::string metrics = engine->metrics_text();
  const size_t line = metrics.find("\nuhd_preemptions_total");
  ASSERT_NE(line, std::string::npos);
  EXPECT_GT(std::stod(metrics.substr(metrics.find(' ', line))), 0);
  EXPECT_EQ(emulation::failure(), "");
}

}  // namespace
}  // namespace uhd
