// One accepted request from its arrival at the engine's thread to the last event of its last answer: prompt,
// images, usage, times.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/urgency.h"
#include "engine/cost.h"
#include "engine/leader/answer.h"
#include "engine/leader/intake.h"
#include "engine/leader/timeline.h"
#include "engine/leader/trace_record.h"
#include "scheduler/scheduler.h"

namespace uhd {

// Moments of a request's life; each is taken once and serves usage, metrics and logs alike.
struct Moments {
  TimePoint submitted;
  std::optional<TimePoint> scheduled;     // the time when the first of its sequences was scheduled
  std::optional<TimePoint> first_sent;    // the time when its first slice went to an encoder
  std::optional<TimePoint> last_encoded;  // the time when its last slice was back
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
  int answers() const { return static_cast<int>(answers_.size()); }
  // The sequence of an answer is named after the request, whose id is that of its first.
  SequenceId sequence(int answer) const { return id_ + static_cast<SequenceId>(answer); }
  const std::string& client() const { return request_.client; }
  const std::string& tenant() const { return request_.tenant; }
  const std::string& trace_id() const { return request_.trace_id; }
  const std::shared_ptr<VisualSpans>& spans() const { return spans_; }
  const std::vector<PlannedImage>& images() const { return images_; }
  const std::shared_ptr<std::atomic<bool>>& abandoned() const { return abandoned_; }
  Urgency urgency() const { return {request_.priority, moments_.submitted}; }
  int prompt_tokens() const { return prompt_tokens_; }
  Moments& moments() { return moments_; }
  // Returns null if nobody asked for it.
  Timeline* timeline() { return timeline_.get(); }
  // The request is traced: its spans are recorded.
  void trace(std::shared_ptr<TraceRecord> record);
  // Returns null if it is not traced.
  const std::shared_ptr<TraceRecord>& record() const { return record_; }
  // Returns what was asked of the language model, whatever is done of it.
  const Work& work() const { return work_; }
  // Returns what was done of it, where `begun` tokens of the prompt were computed without the answers' end.
  Work done(int begun) const;
  // Notes how many seconds of the tenant's quota were taken for it.
  void charge(double cost) { charged_ = cost; }
  double charged() const { return charged_; }
  const std::optional<TimePoint>& deadline() const { return request_.deadline; }

  // Its timeline begins, if it has one.
  void tell_arrival();
  // An image is cut.
  void image_cut(TimePoint now);
  // An image is cut once more.
  void cut_again() {
    ++uncut_;
    cut_again_ = true;
  }
  bool all_cut() const { return uncut_ == 0; }
  // Returns true if an image was cut again.
  bool was_cut() const { return cut_again_; }
  // The image need not be cut again: its bytes are let go.
  void forget_bytes(int image) { images_[static_cast<size_t>(image)].bytes.reset(); }
  void cached_slice(int image) { ++reports_[static_cast<size_t>(image)].cached_slices; }

  // Gives Scheduler::add its spec, once for each answer, the last one last. Pages are shared under
  // `cache_root`.
  SequenceSpec take_spec(int answer, const std::optional<Fingerprint>& cache_root);
  // So many tokens of the prompt need not be computed.
  void cached_tokens(int tokens) { cached_tokens_ = tokens; }
  SampleRow sample_row(int answer, const Sequence& sequence) const {
    return answers_[static_cast<size_t>(answer)].sample_row(sequence);
  }
  std::span<const int32_t> next_mask(int answer) { return answers_[static_cast<size_t>(answer)].next_mask(); }

  // Tells the listener the prompt's first token, where its tokens are scored. Call it before take_spec().
  void begin_scores();
  // Tokens of the prompt are scored, the next ones in their order: `scores` holds those of text. Tells the
  // listener; throws what it throws.
  void prompt_scored(std::span<const int32_t> tokens, std::span<const ScoredToken> scores);
  // Returns what is asked of a scored token.
  ScoreRow score_row(int32_t id) const { return {id, request_.prompt_logprobs}; }
  // A token was drawn: sends its event. Anything but none: the answer has ended, and its last event was sent.
  // Throws what the detokenizer and the listener throw: the caller ends the request then.
  FinishReason token(int answer, const SampledToken& token, TimePoint now);
  // Ends the answers that have not ended, for another reason. Sends their last events; throws nothing.
  void end(FinishReason reason, const std::optional<Failure>& failure, TimePoint now);
  bool ended() const;
  bool ended(int answer) const {
    return answers_[static_cast<size_t>(answer)].finish() != FinishReason::none;
  }
  std::optional<TimePoint> last_token(int answer) const {
    return answers_[static_cast<size_t>(answer)].last_token();
  }

  // These speak of all answers together: the first token of any, the worst end of any.
  Usage usage(TimePoint now) const;
  FinishReason finish() const;
  std::string failure_code() const;

 private:
  void begin_timeline();
  void send_span(const TimelineSpan& span);
  PromptToken prompt_token(int32_t id) const;
  Usage usage_of(const Answer& answer, TimePoint now) const;
  void send(int answer, TokenEvent&& event);
  void send_last(int answer, TimePoint now);

  RequestId id_;
  Request request_;
  Work work_;
  double charged_ = 0;
  std::shared_ptr<void> memory_;
  TokenSink sink_;
  std::shared_ptr<VisualSpans> spans_;
  std::vector<PlannedImage> images_;
  int uncut_;  // images
  bool cut_again_ = false;
  std::vector<ImageReport> reports_;
  std::vector<int32_t> prompt_ids_;
  int prompt_tokens_;
  int image_tokens_;
  int cached_tokens_ = 0;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const AnswerRules> rules_;
  std::vector<Answer> answers_;
  std::shared_ptr<std::atomic<bool>> abandoned_ = std::make_shared<std::atomic<bool>>(false);
  Moments moments_;
  std::unique_ptr<Timeline> timeline_;
  std::shared_ptr<TraceRecord> record_;
};

}  // namespace uhd
