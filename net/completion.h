// A Completion submits the requests of a call to the engine, and turns their events into the text that the
// client reads. It belongs to one session; only the sink that start() hands to the engine runs on another
// thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "net/openai.h"

namespace uhd {

struct ChoiceEvent {
  size_t choice = 0;
  TokenEvent event;
};

class Completion {
 public:
  // `ticket` counts the client's running requests and is released with the completion.
  Completion(Engine& engine, Call call, std::string id, int64_t created, std::shared_ptr<void> ticket);
  // Cancels the requests that still run.
  ~Completion();

  // Returns an upper bound of the number of events of all choices.
  size_t most_events() const { return most_events_; }
  // Submits every prompt. The sink is called on the engine's thread and must not block. On refusal nothing is
  // left running, and the error is returned. Where a prompt waits for its turn (ApiError::again_s), the call
  // is to be made again then, and goes on with that prompt.
  std::optional<ApiError> start(const std::function<void(ChoiceEvent&&)>& sink);

  // Returns about what the prompts that are not submitted hold, but for their images.
  int64_t waiting_bytes() const;

  // Fields of the call that were left out; empty: none.
  const std::string& warning() const { return warning_; }
  bool streams() const { return streams_; }
  // Returns the server-sent events to write now; empty when not streaming.
  std::string take(ChoiceEvent&& event) { return writer_.take(event.choice, std::move(event.event)); }
  bool finished() const { return writer_.finished(); }
  void begin() { writer_.begin(); }  // says that the header of a stream is sent, before its first event
  // Returns the answer, or the failure, of a finished completion of which nothing was streamed yet.
  HttpResponse response() const;
  const std::optional<ApiError>& failure() const { return writer_.failure(); }
  Usage usage() const { return writer_.usage(); }

 private:
  // Ends the answers of a prompt that is only echoed, and not scored.
  std::optional<ApiError> end_at_once(const Request& request, size_t first,
                                      const std::function<void(ChoiceEvent&&)>& sink) const;
  std::string text_of_prompt(const Request& request) const;

  Engine& engine_;
  const bool streams_;
  const size_t most_events_;
  ReplyWriter writer_;
  std::vector<Request> requests_;
  size_t submitted_ = 0;  // so many of them
  const FieldPlaces places_;
  const bool echo_;
  const bool prompt_only_;
  const std::string warning_;
  std::vector<RequestId> running_;
  std::shared_ptr<void> ticket_;
};

}  // namespace uhd
