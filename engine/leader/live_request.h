// One accepted request from its arrival at the engine's thread to its last event: text, stop rules, usage,
// times.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/leader/intake.h"
#include "model/language/sampler.h"
#include "model/text/detokenizer.h"
#include "scheduler/scheduler.h"

namespace uhd {

// Moments of a request's life; each is taken once and serves usage, metrics and logs alike.
struct Moments {
  TimePoint submitted;
  std::optional<TimePoint> scheduled;     // first
  std::optional<TimePoint> first_sent;    // first slice to an encoder
  std::optional<TimePoint> last_encoded;  // last slice back
  std::optional<TimePoint> first_token;
  std::optional<TimePoint> last_token;
  double preprocess = 0;
};

// Used by the engine's thread, after submit() made it.
class LiveRequest {
 public:
  // `memory` is let go with the request: it counts what the request holds (RequestMemory).
  LiveRequest(RequestId id, Request request, PlannedRequest planned, std::shared_ptr<void> memory,
              TokenSink sink, const std::shared_ptr<const Tokenizer>& tokenizer,
              const std::vector<int32_t>& eos_ids);

  RequestId id() const { return id_; }
  const Request& request() const { return request_; }
  const std::vector<VisualSpan>& spans() const { return spans_; }
  const std::vector<PlannedImage>& images() const { return images_; }
  const std::shared_ptr<std::atomic<bool>>& abandoned() const { return abandoned_; }
  Moments& moments() { return moments_; }
  // The images are cut: their bytes are let go.
  void images_cut(TimePoint now);
  void cached_slice(int image) { ++usage_.images[static_cast<size_t>(image)].cached_slices; }

  // For Scheduler::add; once.
  SequenceSpec take_spec();

  // How the next token is drawn; valid until the sequence changes.
  SampleRow sample_row(const Sequence& sequence) const;

  // A token was drawn: sends its event. Anything but none: the request has ended (the last event was sent).
  // Throws what the detokenizer and the listener throw: the caller ends it then.
  FinishReason token(const SampledToken& token, TimePoint now);
  // Ends it for another reason. Sends the last event, once; throws nothing.
  void end(FinishReason reason, std::optional<Failure> failure, TimePoint now);

  const Usage& usage() const { return usage_; }
  FinishReason finish() const { return finish_; }
  const std::string& failure_code() const { return failure_code_; }

 private:
  bool ends_answer(int32_t id) const;
  TokenLogprob logprob_of(const SampledToken& token) const;
  void fill_times(TimePoint now);
  void send(TokenEvent&& event);
  void send_last(TokenEvent&& event);

  RequestId id_;
  Request request_;
  std::shared_ptr<void> memory_;
  TokenSink sink_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Detokenizer detokenizer_;
  std::vector<int32_t> stop_ids_;  // sorted: end tokens and the request's own
  std::vector<VisualSpan> spans_;
  std::vector<PlannedImage> images_;
  std::vector<int32_t> prompt_ids_;
  int max_tokens_;
  std::shared_ptr<std::atomic<bool>> abandoned_ = std::make_shared<std::atomic<bool>>(false);
  TokenEvent next_;  // gathers ids whose text is not certain yet
  Usage usage_;
  Moments moments_;
  FinishReason finish_ = FinishReason::none;
  std::string failure_code_;
};

}  // namespace uhd
