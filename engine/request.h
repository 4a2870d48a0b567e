// A client asks and is answered in these terms. Plain data: no tensors, sockets or threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/timeline.h"
#include "engine/trace_context.h"
#include "model/language/sampling_rule.h"
#include "model/text/grammar.h"

namespace uhd {

using RequestId = uint64_t;

// Low is the overview alone; the others take the slices that the image needs, within the most allowed.
enum class ImageDetail : uint8_t { automatic, low, high };

// An ImageRule says how closely an image is looked at. It never raises the most slices that the server
// allows.
struct ImageRule {
  ImageDetail detail = ImageDetail::automatic;
  int max_slices = 0;  // 0: as many as the server allows; 1: the overview alone
};

// Pixels of an image that is not sent, upright.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};

// One piece of a message: text, an encoded image file (JPEG, PNG, WebP) untouched, or the size of an image,
// which can be planned and not answered.
struct MessagePart {
  std::string text;
  std::shared_ptr<const std::string> image;
  std::optional<ImageSize> size;
  ImageRule rule = {};

  bool is_image() const { return image != nullptr || size.has_value(); }
};
struct Message {
  std::string role;  // system | user | assistant | tool
  std::vector<MessagePart> parts;
  std::string tool_calls;    // an assistant's calls: a JSON array, as OpenAI has them; empty: none
  std::string tool_call_id;  // the call that a tool's message answers
  std::string thoughts;      // the thoughts of an earlier answer; may be empty
  std::string name;          // the name of the one who speaks; may be empty
};

struct SamplingParams : SamplingRule {
  // Repeats the text: the first answer draws by it, the others by seeds made of it. The engine draws one
  // where there is none.
  std::optional<uint64_t> seed;
  std::map<int32_t, float> logit_bias;
  std::vector<int32_t> allowed_ids;    // the answer is made of these tokens alone; empty: of any
  std::vector<std::string> bad_words;  // texts whose tokens never complete in the answer
  // Says what the answer's text must be. Where the prompt ends inside thoughts, it holds of what follows
  // them.
  std::optional<GrammarSpec> grammar;
};

struct StopRules {
  int max_tokens = 0;        // 0: as many as the context allows
  bool prompt_only = false;  // nothing is answered: the prompt is scored
  int min_tokens = 0;
  std::vector<std::string> stop;  // part of the answer only if `keep_stop`
  std::vector<int32_t> stop_ids;  // end tokens besides the model's own
  bool ignore_eos = false;
  bool keep_stop = false;    // the answer's text keeps the stop string or token that ended it
  bool skip_special = true;  // special tokens are no part of the answer's text
};

struct Request {
  // Exactly one of the two: a conversation (goes through the chat template), or a raw prompt (text as it is,
  // or ids).
  std::vector<Message> messages;
  std::optional<std::string> prompt;
  std::vector<int32_t> prompt_ids;
  bool add_generation_prompt = true;
  std::string template_variables;  // a JSON object: more variables for the chat template; empty: none
  std::string tools;               // a JSON array: the tools that the chat template shows; empty: none
  // The last tokens of the prompt that are kept; 0: all, -1: those that leave the context room for an answer.
  int truncate_prompt = 0;
  bool continue_final_message = false;  // the answer goes on where the last message ends; no new turn then

  // Log-probabilities of the prompt's tokens, and of so many likely ones at each place; -1: none.
  int prompt_logprobs = -1;

  int n = 1;  // answers: the prompt is planned once, and its images are decoded once
  SamplingParams sampling;
  StopRules stop;
  std::string tenant;                 // comes from the API key; salts caches
  double quota = 0;                   // seconds of work that the tenant may cost in a minute; 0: any
  std::string client;                 // the one who asks, by key or address: clients take turns
  int priority = 0;                   // lower goes first; request_limits.h bounds it
  std::optional<TimePoint> deadline;  // give up after it
  std::string trace_id;               // the request's name in logs
  TraceContext trace;                 // the client's trace
  bool timeline = false;              // events tell what happens to it
  std::optional<TimePoint> first_byte, last_byte;  // the times when these were read from a socket
};

enum class FinishReason : uint8_t { none, stop, length, cancelled, error };

// A StopReason is what ended an answer early: nothing for the model's own end, or the id or the string of the
// request.
using StopReason = std::variant<std::monostate, int32_t, std::string>;

struct TokenLogprob {
  int32_t id = 0;
  std::string bytes;  // the token's own bytes; may be part of a character
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;  // bytes, logprob; most likely first
};

// One token of a prompt, and how likely it was behind those before it.
struct PromptToken {
  struct Likely {
    int32_t id = 0;
    std::string bytes;
    float logprob = 0;
  };
  int32_t id = 0;       // -1 where a visual token stands
  std::string bytes;    // the token's own bytes; may be part of a character
  bool scored = false;  // false of the first token, and of visual ones
  float logprob = 0;
  int rank = 0;             // counts the tokens that were as likely or more
  std::vector<Likely> top;  // most likely first
};

// One image was cut so.
struct ImageReport {
  int width = 0;  // pixels, after EXIF orientation
  int height = 0;
  int columns = 0;  // 0 x 0: overview only
  int rows = 0;
  int slices = 0;                               // the overview is not counted
  int tokens = 0;                               // visual tokens and separators
  int cached_slices = 0;                        // answered from the slice cache
  ImageDetail detail = ImageDetail::automatic;  // the detail that was asked for
  int max_slices = 0;                           // the most that held; 0: the model cuts no slices
};

// Seconds per stage; a stage that did not happen is 0.
struct StageTimes {
  double queue = 0;  // submit to first scheduled
  double preprocess = 0;
  double encode = 0;   // first slice sent to last slice back
  double prefill = 0;  // first scheduled to first token
  double decode = 0;   // first token to last
  double ttft = 0;
  double total = 0;
};

struct Usage {
  int prompt_tokens = 0;  // image tokens included
  int completion_tokens = 0;
  int image_tokens = 0;
  int cached_tokens = 0;
  std::vector<ImageReport> images;
  StageTimes times;
};

// The kind says whose fault it is and what the client may do; net/ gives each its HTTP status.
enum class FailureKind : uint8_t {
  invalid,      // the request cannot be honoured as it is
  too_large,    // the request holds more than is taken
  busy,         // the same request may succeed later
  internal,     // the server failed
  unavailable,  // the server, or a part that the request needs, is not there
};

// An error as the client will read it.
struct Failure {
  FailureKind kind = FailureKind::internal;
  std::string code;  // short and stable: "context_length_exceeded", "image_too_large", ...
  std::string message;
  double retry_after_s = 0;
  std::optional<int> image;  // the number of the request's image that is at fault
  // Beyond 0, nothing is refused yet: the request waits for its turn, and is to be submitted again after so
  // many seconds.
  double again_s = 0;
};

// One event of one answer of a request. Text never ends inside a UTF-8 character. The last event of an answer
// has finish != none and carries usage (and failure if finish is error); nothing follows it, but for events
// with spans alone while other answers of the request go on. Where log-probabilities of the prompt are
// wanted, events of the first answer carry its tokens, in their order, and all of them have come before an
// answer's first text.
struct TokenEvent {
  RequestId request = 0;
  int answer = 0;  // 0 to n - 1
  std::string text;
  std::vector<int32_t> ids;
  std::vector<TokenLogprob> logprobs;
  std::vector<PromptToken> prompt;
  FinishReason finish = FinishReason::none;
  StopReason stop_reason;
  std::optional<Usage> usage;
  std::optional<Failure> failure;
  std::optional<TimelineSpan> span;  // an event with a span has nothing else; it speaks of the request
  std::shared_ptr<void> memory;      // comes with the prompt: counted until the one who tells it lets go
};

// Called on the engine's thread; must not block or throw.
using TokenSink = std::function<void(TokenEvent&&)>;

}  // namespace uhd
