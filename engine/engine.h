// The only door for net/ and app/: submit, cancel, observe. Free of tensors, MPI, CUDA and Asio on purpose:
// code that speaks HTTP must not be able to touch a step.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/request.h"

namespace uhd {

struct ModelInfo {
  std::string id;      // name that clients use
  std::string family;  // "llava-uhd-v1", "llava-1.5", "minicpm-v-2.6", "text", ...
  bool vision = false;
  int context_length = 0;
  int vocabulary = 0;
  int64_t max_text_bytes = 0;  // of a prompt: more bytes cannot be as few tokens as the context holds
};

// A request accepted: its id, and what is already known of its cost.
struct Accepted {
  RequestId id = 0;
  int prompt_tokens = 0;
  int image_tokens = 0;
  int max_tokens = 0;  // the most events with text that will follow
};

enum class Readiness : uint8_t { starting, ready, text_only, stalled, draining };

// Prometheus text of every counter and histogram.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int free_pages = 0;
  int total_pages = 0;
  Readiness readiness = Readiness::starting;
};

// Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const ModelInfo& model() const = 0;
  // Checks the request, plans its images from their headers, and queues it; or refuses, with the reason,
  // before any work. Runs on the calling thread up to the queue. The sink is called only for accepted
  // requests.
  virtual std::variant<Accepted, Failure> submit(Request request, TokenSink sink) = 0;
  // The request ends soon with FinishReason::cancelled; unknown or finished ids are ignored.
  virtual void cancel(RequestId id) = 0;
  virtual EngineStats stats() const = 0;
  virtual std::string metrics_text() const = 0;
  // No new requests; running ones finish.
  virtual void drain() = 0;
  virtual bool idle() const = 0;
  // Ids of a text by the model's tokenizer, and back (for /tokenize, tests and tools).
  virtual std::vector<int32_t> tokenize(const std::string& text, bool add_special) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& ids) const = 0;
};

}  // namespace uhd
