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
#include <vector>

#include "base/clock.h"
#include "model/language/sampling_rule.h"

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
  std::string role;  // system | user | assistant
  std::vector<MessagePart> parts;
};

struct SamplingParams : SamplingRule {
  // Repeats the text: the first answer draws by it, the others by seeds made of it. The engine draws one
  // where there is none.
  std::optional<uint64_t> seed;
  std::map<int32_t, float> logit_bias;
};

struct StopRules {
  int max_tokens = 0;  // 0: as many as the context allows
  int min_tokens = 0;
  std::vector<std::string> stop;  // never part of the answer
  std::vector<int32_t> stop_ids;  // besides the model's own end tokens
  bool ignore_eos = false;
};

struct Request {
  // Exactly one of the two: a conversation (goes through the chat template), or a raw prompt (text as it is,
  // or ids).
  std::vector<Message> messages;
  std::optional<std::string> prompt;
  std::vector<int32_t> prompt_ids;
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the answer goes on where the last message ends; no new turn then

  int n = 1;  // answers: the prompt is planned once, and its images are decoded once
  SamplingParams sampling;
  StopRules stop;
  std::string tenant;                 // from the API key; salts caches
  std::string client;                 // the one who asks, by key or address: clients take turns
  int priority = 0;                   // lower goes first; request_limits.h bounds it
  std::optional<TimePoint> deadline;  // give up after it
  std::string trace_id;               // for logs
};

enum class FinishReason : uint8_t { none, stop, length, cancelled, error };

struct TokenLogprob {
  int32_t id = 0;
  std::string bytes;  // the token's own bytes; may be part of a character
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;  // bytes, logprob; most likely first
};

// One image was cut so.
struct ImageReport {
  int width = 0;  // after EXIF orientation
  int height = 0;
  int columns = 0;  // 0 x 0: overview only
  int rows = 0;
  int slices = 0;                               // without the overview
  int tokens = 0;                               // visual tokens and separators
  int cached_slices = 0;                        // answered from the slice cache
  ImageDetail detail = ImageDetail::automatic;  // as asked
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
};

// One event of one answer of a request. Text never ends inside a UTF-8 character. The last event of an answer
// has finish != none and carries usage (and failure if finish is error); nothing follows it.
struct TokenEvent {
  RequestId request = 0;
  int answer = 0;  // 0 to n - 1
  std::string text;
  std::vector<int32_t> ids;
  std::vector<TokenLogprob> logprobs;
  FinishReason finish = FinishReason::none;
  std::optional<Usage> usage;
  std::optional<Failure> failure;
};

// Called on the engine's thread; must not block or throw.
using TokenSink = std::function<void(TokenEvent&&)>;

}  // namespace uhd
