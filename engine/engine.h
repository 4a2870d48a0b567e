// The Engine is the only door for net/ and app/: submit, cancel, observe. It is free of tensors, MPI, CUDA
// and Asio on purpose: code that speaks HTTP must not be able to touch a step.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "engine/request_plan.h"
#include "model/text/tool_form.h"

namespace uhd {

struct ModelInfo {
  std::string id;      // the name that clients use
  std::string family;  // "llava-uhd-v1", "llava-1.5", "minicpm-v-2.6", "text", ...
  bool vision = false;
  int context_length = 0;
  int vocabulary = 0;
  // The most bytes of a prompt's text: more of them cannot be as few tokens as the context holds.
  int64_t max_text_bytes = 0;
  std::vector<std::string> aliases;             // more names that clients use
  std::vector<std::string> template_variables;  // variables of the chat template that a request may set
  std::string fingerprint;                      // stands for the model and all else that decides its answers
  SamplingRule sampling{};                      // holds for requests that do not say otherwise
  bool thinks = false;                          // its chat template knows thoughts: <think>, </think>
  // The form in which its chat template has calls of tools.
  ToolForm tools = ToolForm::none;
};

// Accepted is returned for an accepted request: its id, and the costs that are known already.
struct Accepted {
  RequestId id = 0;
  int prompt_tokens = 0;
  int image_tokens = 0;
  int max_tokens = 0;     // the most events with text that will follow
  bool thinking = false;  // the prompt ends inside the model's thoughts
};

enum class Readiness : uint8_t { starting, ready, text_only, stalled, draining };

// EngineStats tells how busy the engine is, as of the last turn of its loop, and whether it can serve.
// `running` counts the sequences that have a place in a step, `waiting` the other requests that have not
// ended; pages are those of the KV cache.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int free_pages = 0;
  int total_pages = 0;
  Readiness readiness = Readiness::starting;
};

// An Engine is thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const ModelInfo& model() const = 0;
  // Checks the request, plans its images from their headers, and queues it; or refuses it, with the reason,
  // before any work. It runs on the calling thread up to the queue. The sink is called only for accepted
  // requests. A request that waits (Failure::again_s) is left as it was, so that it can be submitted again.
  virtual std::variant<Accepted, Failure> submit(Request&& request, TokenSink sink) = 0;
  // Says what the request would cost, what of it is cached, and whether submit() would take it now. It takes
  // nothing: no place, no memory and no page; it waits a second at most for the engine's thread. A request
  // that cannot be planned is a Failure; images may be sizes.
  virtual std::variant<RequestPlan, Failure> plan(const Request& request) const = 0;
  // Lays the prompt out as plan() does, and waits for nobody: its tokens, with -1 where a visual token
  // stands.
  virtual std::variant<std::vector<int32_t>, Failure> lay_out(const Request& request) const = 0;
  // Ends the request soon with FinishReason::cancelled. Unknown or finished ids are ignored.
  virtual void cancel(RequestId id) = 0;
  virtual EngineStats stats() const = 0;
  virtual std::string metrics_text() const = 0;
  // Refuses new requests from now on; running ones finish.
  virtual void drain() = 0;
  virtual bool idle() const = 0;
  // These turn a text into ids by the model's tokenizer, and back (for /tokenize, tests and tools).
  virtual std::vector<int32_t> tokenize(const std::string& text, bool add_special) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& ids) const = 0;
  // Returns the bytes of one token, which may be a part of a character.
  virtual std::string bytes_of_token(int32_t id) const = 0;
};

}  // namespace uhd
