// Engines over the tiny checkpoints of the reference data, and listeners that wait for answers.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/launch/in_process.h"

namespace uhd {

// Everything a request's stream said. Waiting for more than two minutes fails the test instead of hanging it.
class AnswerListener {
 public:
  TokenSink sink();
  // Until the last event.
  const AnswerListener& wait();
  // Until so many tokens have come (or the stream ended).
  void wait_for_tokens(size_t tokens);

  std::vector<int32_t> ids;
  std::string text;
  std::vector<TokenLogprob> logprobs;
  FinishReason finish = FinishReason::none;
  Usage usage;
  Failure failure;
  int events_after_the_last = 0;

 private:
  void wait_until(const std::function<bool()>& holds);

  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Submitted {
  std::shared_ptr<AnswerListener> answer = std::make_shared<AnswerListener>();
  RequestId id = 0;
  Failure refused;  // without a code: accepted
  Accepted accepted;
};
Submitted submit(Engine& engine, Request request);

// The ids of each answer of one request, once all have ended.
std::vector<std::vector<int32_t>> answers_of(Engine& engine, const Request& request);
// The value of a series of the metrics page that has no labels but the model.
double metric(const Engine& engine, const std::string& name);

// A request counts until just after its last event: looks again until none does, for ten seconds at most.
bool becomes_idle(const Engine& engine);

// One thread a rank, float weights, small limits.
EngineOptions tiny_options(const std::filesystem::path& model);
ClusterOptions ranks(int tensor_parallel, int encoders);

// A golden conversation: the request as a client would send it, and what must come out.
struct GoldenCase {
  std::string name;
  std::filesystem::path model;
  Request request;
  std::filesystem::path vision_tower;  // that it was made with, where the model names another
  ImageOptions image;                  // the overrides that it was made with
  std::vector<int32_t> ids;
  int prompt_tokens = 0;
};
// Of every model directory; `images` false: golden_text*.json, true: golden_image_*.json.
std::vector<GoldenCase> golden_cases(bool images);
// The case whose name ends so; fails the test when there is none.
GoldenCase golden_case(const std::string& ending);

std::string read_bytes(const std::filesystem::path& path);

}  // namespace uhd
