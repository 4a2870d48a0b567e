// Turns OpenAI's JSON into requests, and events back into OpenAI's JSON. It knows no sockets, clocks or
// engine: text goes in, values come out, so that every rule of the API is a plain test.
//
// net/request_fields.h lists the fields that are read, those that are accepted, and those that are refused.
#pragma once

#include <boost/json/fwd.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "net/api_error.h"
#include "net/image_intake.h"
#include "net/options.h"
#include "net/responses_writer.h"
#include "net/thoughts.h"
#include "net/tool_calls.h"

namespace uhd {

// A plan is a chat that is not run: its images may be sizes. Responses are chats in another form.
enum class Endpoint : uint8_t { chat, completions, plan, responses };

// A Call is one call of /v1/chat/completions, /v1/completions, /v1/responses or /v1/plan. Answer a of
// requests[p] is the choice p · n
// + a.
struct Call {
  Endpoint endpoint = Endpoint::chat;
  std::string model;        // the name that the client used
  std::string fingerprint;  // ModelInfo's
  std::vector<Request> requests;
  int n = 1;
  double timeout_s = 0;  // 0: the server's
  bool stream = false;
  bool include_usage = false;
  bool usage_in_chunks = false;  // every chunk holds the usage so far
  bool logprobs = false;
  int prompt_logprobs = -1;  // likely tokens told at each place of the prompt; -1: not told
  bool echo = false;         // each answer begins with its prompt
  bool prompt_only = false;  // nothing is answered: echo gives the prompt alone
  std::string warning;       // fields that were left out; empty: none
  FieldPlaces places;
  bool thinks = false;              // thoughts of the answers are told apart
  ToolForm tools = ToolForm::none;  // calls of tools are told apart in this form; none: not at all
  bool parallel_calls = true;       // an answer may hold several
  std::vector<std::string> tool_names;
  std::vector<std::string> held_tools;  // those whose arguments a grammar holds, where the answer is free
  std::string repeated;                 // a JSON object for responses: what the answer repeats of the call
};

// Parses a call. The caller fills in tenant, client, deadline and trace id. `intake` is for images
// that are read beside the body.
std::variant<Call, ApiError> parse_call(Endpoint endpoint, std::string_view body, const ModelInfo& model,
                                        const NetOptions& limits, const ImageIntake& intake = {});

// A text, or else a conversation, whose images may be sizes.
struct TokenizeCall {
  std::string text;
  FieldPlaces places;
  std::optional<Request> conversation;
  bool add_special = true;  // special tokens are added to the text
  bool with_texts = false;  // the text of each token too
  std::string warning;
};
std::variant<TokenizeCall, ApiError> parse_tokenize(std::string_view body, const ModelInfo& model,
                                                    const NetOptions& limits, const ImageIntake& intake = {});
struct DetokenizeCall {
  std::vector<int32_t> ids;
  std::string warning;
};
std::variant<DetokenizeCall, ApiError> parse_detokenize(std::string_view body, const ModelInfo& model,
                                                        const NetOptions& limits);

// Writes the answer of /v1/plan. `refusal` says why the call would not be taken now; empty: it would.
std::string plan_json(const RequestPlan& plan, const ModelInfo& model, const std::optional<RequestCost>& cost,
                      const std::optional<ApiError>& refusal);

// `name` is the model's id or an alias.
std::string model_json(const ModelInfo& model, const std::string& name, int64_t created);
std::string models_json(const ModelInfo& model, int64_t created);

// A ReplyWriter gathers the events of a call's choices. It gives server-sent events as they come, or one body
// at the end.
class ReplyWriter {
 public:
  ReplyWriter(const Call& call, std::string id, int64_t created);

  // Says what the answers of a prompt begin with, before their first event.
  void echo(size_t prompt, std::string text) { prompts_[prompt].echo = std::move(text); }
  // Says how long a prompt is, before the first event of its answers.
  void accepted(size_t prompt, int tokens, int image_tokens);

  // Says that the answers of a prompt begin inside the model's thoughts.
  void begin_in_thoughts(size_t prompt);
  // Takes the next event of a choice. When streaming, returns the frames to send now (may be empty); else
  // returns nothing.
  std::string take(size_t choice, TokenEvent&& event);

  // Returns true once every choice has ended, or one has failed.
  bool finished() const { return failure_.has_value() || ended_ == choices_.size(); }
  const std::optional<ApiError>& failure() const { return failure_; }
  bool begun() const { return begun_; }  // true once a frame other than an error was given out
  void begin() { begun_ = true; }        // says that the stream's header is sent: failures become events
  std::string body() const;              // needs: not streaming, finished, no failure
  int reasoning_tokens() const;
  Usage usage() const;  // the usage so far, summed over prompts and choices

 private:
  struct Choice {
    bool begun = false;
    ThoughtSplitter splitter;
    std::string thoughts;
    ToolSplitter splits_calls;
    std::vector<ToolDelta> calls;  // whole ones, where the answer is not streamed
    std::string text;
    size_t characters = 0;  // characters of the text
    std::vector<TokenLogprob> logprobs;
    std::vector<size_t> offsets;  // places in the text, in characters, one for each entry of logprobs
    FinishReason finish = FinishReason::none;
    StopReason stop_reason;
    int tokens = 0;            // tokens so far
    int reasoning_tokens = 0;  // those of them inside its thoughts
    Usage usage;
  };
  struct Prompt {
    std::vector<TimelineSpan> timeline;  // kept where the answer is not streamed
    std::string echo;
    std::vector<PromptToken> scored;  // those scored so far, where the prompt's tokens are told
    std::shared_ptr<void> memory;     // held for what is told of them, until the answer is written
    int tokens = 0;
    int image_tokens = 0;
  };
  const Prompt& prompt_of(size_t choice) const { return prompts_[choice / static_cast<size_t>(n_)]; }
  std::string stream_frames(size_t index, const TokenEvent& event, const std::string& thoughts,
                            const std::vector<ToolDelta>& calls, const std::vector<size_t>& offsets);
  std::string take_span(size_t index, const TimelineSpan& span);
  boost::json::object legacy_logprobs(size_t index, bool with_prompt, const std::vector<TokenLogprob>& tokens,
                                      const std::vector<size_t>& offsets) const;
  std::string end_of_responses(FinishReason finish);
  std::string call_id(size_t choice, size_t call) const;

  const Endpoint endpoint_;
  std::unique_ptr<ResponsesWriter> responses_;  // null for other forms
  const bool stream_;
  const bool include_usage_;
  const bool usage_in_chunks_;
  const bool logprobs_;
  const bool timeline_;
  const int likely_;  // tokens besides each one that has a log-probability
  const int prompt_likely_;
  const bool thinks_;
  const int n_;
  const std::string model_;
  const std::string fingerprint_;
  const std::string id_;
  const int64_t created_;
  const FieldPlaces places_;
  std::vector<Prompt> prompts_;
  std::vector<Choice> choices_;
  size_t ended_ = 0;
  bool begun_ = false;
  std::optional<ApiError> failure_;
};

}  // namespace uhd
