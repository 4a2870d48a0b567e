// Makes engines over the tiny checkpoints of the reference data, and listeners that wait for answers.
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

// An Answer holds everything that a request's stream said. Waiting for more than two minutes fails the test
// instead of hanging it.
class AnswerListener {
 public:
  TokenSink sink();
  // Waits until the last event.
  const AnswerListener& wait();
  // Waits until so many tokens have come (or the stream ended).
  void wait_for_tokens(size_t tokens);

  std::vector<int32_t> ids;
  std::string text;
  std::vector<TokenLogprob> logprobs;
  std::vector<PromptToken> prompt;  // the prompt's tokens, where they are scored
  FinishReason finish = FinishReason::none;
  StopReason stop_reason;
  Usage usage;
  Failure failure;
  std::vector<TimelineSpan> spans;
  int events_after_the_last = 0;

 private:
  void wait_until(const std::function<bool()>& holds);

  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Submitted {
  std::shared_ptr<AnswerListener> answer = std::make_shared<AnswerListener>();
  RequestId id = 0;
  Failure refused;  // has no code if the request was accepted
  Accepted accepted;
};
Submitted submit(Engine& engine, Request request);

// The ids of each answer of one request, once all have ended.
std::vector<std::vector<int32_t>> answers_of(Engine& engine, const Request& request);
// The value of a series of the metrics page that has no labels but the model.
double metric(const Engine& engine, const std::string& name);

// A request counts until just after its last event: looks again until none does, for ten seconds at most.
bool becomes_idle(const Engine& engine);

// Returns options with one thread for each rank, float weights and small limits.
EngineOptions tiny_options(const std::filesystem::path& model);
ClusterOptions ranks(int tensor_parallel, int encoders);

// A GoldenCase is a golden conversation: the request as a client would send it, and the expected answer.
struct GoldenCase {
  std::string name;
  std::filesystem::path model;
  std::filesystem::path goldens;  // the model's folder, or that of the same weights in another layout
  Request request;
  std::filesystem::path vision_tower;  // the tower it was made with, if the model names another
  ImageOptions image;                  // the overrides it was made with
  int context = 0;                     // the context it was made for; 0: the model's
  std::vector<int32_t> ids;
  int prompt_tokens = 0;
};
// Returns the cases of every model (golden_model_folders): golden_text*.json, or golden_image_*.json if
// `images` is true.
std::vector<GoldenCase> golden_cases(bool images);
// Returns the case whose name ends so; fails the test if there is none.
GoldenCase golden_case(const std::string& ending);

// Returns the picture of the case, upside down.
std::string flipped_png(const GoldenCase& c);
// Returns the picture of the case with the pixels of a rectangle inverted.
std::string png_with_inverted(const GoldenCase& c, int left, int top, int width, int height);

std::string read_bytes(const std::filesystem::path& path);

}  // namespace uhd
