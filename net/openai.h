// Turns OpenAI's JSON into requests, and events back into OpenAI's JSON. It knows no sockets, clocks or
// engine: text goes in, values come out, so that every rule of the API is a plain test.
//
// Beyond OpenAI's fields it reads top_k, min_p, repetition_penalty, min_tokens, ignore_eos, stop_token_ids
// and add_generation_prompt. Unknown fields are ignored, as OpenAI-compatible servers do; known ones that ask
// for what this server cannot do are refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "net/api_error.h"
#include "net/options.h"

namespace uhd {

// A plan is a chat that is not run: its images may be sizes.
enum class Endpoint : uint8_t { chat, completions, plan };

// A Call is one call of /v1/chat/completions, /v1/completions or /v1/plan. Answer a of requests[p] is the
// choice p · n
// + a.
struct Call {
  Endpoint endpoint = Endpoint::chat;
  std::string model;
  std::vector<Request> requests;
  int n = 1;
  bool stream = false;
  bool include_usage = false;
  bool logprobs = false;
};

// Parses a call. The caller fills in tenant, client, deadline and trace id.
std::variant<Call, ApiError> parse_call(Endpoint endpoint, std::string_view body, const ModelInfo& model,
                                        const NetOptions& limits);

struct TokenizeCall {
  std::string text;
  bool add_special = true;
};
std::variant<TokenizeCall, ApiError> parse_tokenize(std::string_view body, const NetOptions& limits);
std::variant<std::vector<int32_t>, ApiError> parse_detokenize(std::string_view body, const ModelInfo& model,
                                                              const NetOptions& limits);

// Writes the answer of /v1/plan. `refusal` says why the call would not be taken now; empty: it would.
std::string plan_json(const RequestPlan& plan, const ModelInfo& model, const std::optional<RequestCost>& cost,
                      const std::optional<ApiError>& refusal);

std::string model_json(const ModelInfo& model, int64_t created);
std::string models_json(const ModelInfo& model, int64_t created);

// A ReplyWriter gathers the events of a call's choices. It gives server-sent events as they come, or one body
// at the end.
class ReplyWriter {
 public:
  ReplyWriter(const Call& call, std::string id, int64_t created);

  // Takes the next event of a choice. When streaming, returns the frames to send now (may be empty); else
  // returns nothing.
  std::string take(size_t choice, TokenEvent&& event);

  // Returns true once every choice has ended, or one has failed.
  bool finished() const { return failure_.has_value() || ended_ == choices_.size(); }
  const std::optional<ApiError>& failure() const { return failure_; }
  bool begun() const { return begun_; }  // true once a frame other than an error was given out
  void begin() { begun_ = true; }        // says that the stream's header is sent: failures become events
  std::string body() const;              // needs: not streaming, finished, no failure
  Usage usage() const;                   // summed over prompts and choices

 private:
  struct Choice {
    bool begun = false;
    std::string text;
    size_t characters = 0;  // in the text
    std::vector<TokenLogprob> logprobs;
    std::vector<size_t> offsets;  // in characters of the text, one for each entry of logprobs
    FinishReason finish = FinishReason::none;
    Usage usage;
  };
  std::string stream_frames(size_t index, const TokenEvent& event, const std::vector<size_t>& offsets);

  const Endpoint endpoint_;
  const bool stream_;
  const bool include_usage_;
  const bool logprobs_;
  const int n_;
  const std::string model_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;
  size_t ended_ = 0;
  bool begun_ = false;
  std::optional<ApiError> failure_;
};

}  // namespace uhd
