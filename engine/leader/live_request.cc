#include "engine/leader/live_request.h"

#include <algorithm>

#include "base/log.h"
#include "engine/leader/seed.h"

namespace uhd {

namespace {

std::shared_ptr<const AnswerRules> rules_of(const Request& request, int max_tokens,
                                            const std::vector<int32_t>& eos_ids) {
  auto rules = std::make_shared<AnswerRules>();
  rules->sampling = request.sampling;
  rules->stop = request.stop;
  rules->max_tokens = max_tokens;
  std::vector<int32_t>& ids = rules->stop_ids;
  ids = request.stop.stop_ids;
  if (!request.stop.ignore_eos) ids.insert(ids.end(), eos_ids.begin(), eos_ids.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return rules;
}

// A seed repeats its text: the first answer draws by the seed itself, the others by seeds made of it.
uint64_t seed_of(uint64_t seed, int answer) {
  return answer == 0 ? seed : mixed_seed(seed, static_cast<uint64_t>(answer));
}

double between(const std::optional<TimePoint>& from, const std::optional<TimePoint>& to) {
  return from && to ? std::max(0.0, seconds(*to - *from)) : 0.0;
}

// A request with several answers ended as the one that ended worst.
int badness(FinishReason reason) {
  switch (reason) {
    case FinishReason::none:
    case FinishReason::stop:
      return 0;
    case FinishReason::length:
      return 1;
    case FinishReason::cancelled:
      return 2;
    case FinishReason::error:
      break;
  }
  return 3;
}

}  // namespace

LiveRequest::LiveRequest(RequestId id, Request request, PlannedRequest planned, std::shared_ptr<void> memory,
                         TokenSink sink, const std::shared_ptr<const Tokenizer>& tokenizer,
                         const std::vector<int32_t>& eos_ids)
    : id_(id),
      request_(std::move(request)),
      memory_(std::move(memory)),
      sink_(std::move(sink)),
      spans_(std::make_shared<VisualSpans>(std::move(planned.prompt.spans))),
      images_(std::move(planned.images)),
      uncut_(static_cast<int>(images_.size())),
      prompt_ids_(std::move(planned.prompt.ids)),
      prompt_tokens_(static_cast<int>(prompt_ids_.size())),
      image_tokens_(planned.image_tokens),
      rules_(rules_of(request_, planned.max_tokens, eos_ids)) {
  for (int answer = 0; answer < request_.n; ++answer) {
    answers_.emplace_back(seed_of(request_.sampling.seed.value_or(0), answer), rules_, tokenizer);
  }
  // The plan holds what was asked now; the bytes of images live on in images_ until they are cut.
  request_.messages = {};
  request_.prompt.reset();
  request_.prompt_ids = {};
  for (const PlannedImage& image : images_) reports_.push_back(image.report);
  moments_.submitted = Clock::now();
  work_.prefill_rows = prompt_tokens_;
  work_.decode_rows = int64_t{planned.max_tokens} * request_.n;
}

SequenceSpec LiveRequest::take_spec(int answer, const std::optional<Fingerprint>& cache_root) {
  SequenceSpec spec;
  spec.id = sequence(answer);
  spec.tenant = request_.tenant;
  spec.client = request_.client;
  spec.priority = request_.priority;
  if (answer + 1 == answers()) {
    spec.prompt = std::move(prompt_ids_);
  } else {
    spec.prompt = prompt_ids_;
  }
  spec.spans = spans_;
  spec.max_tokens = rules_->max_tokens;
  spec.deadline = request_.deadline;
  spec.cache_root = cache_root;
  if (answer > 0) spec.after = sequence(0);
  return spec;
}

bool LiveRequest::image_cut(int image, TimePoint now) {
  images_[static_cast<size_t>(image)].bytes.reset();
  if (--uncut_ > 0) return false;
  moments_.preprocess = seconds(now - moments_.submitted);
  return true;
}

FinishReason LiveRequest::token(int index, const SampledToken& token, TimePoint now) {
  Answer& answer = answers_[static_cast<size_t>(index)];
  answer.push(token, now);
  if (answer.finish() != FinishReason::none) {
    send_last(index, now);
  } else if (answer.has_text()) {
    send(index, answer.take());
  }
  return answer.finish();
}

void LiveRequest::end(FinishReason reason, const std::optional<Failure>& failure, TimePoint now) {
  for (int i = 0; i < answers(); ++i) {
    if (ended(i)) continue;
    answers_[static_cast<size_t>(i)].end(reason, failure);
    send_last(i, now);
  }
}

bool LiveRequest::ended() const {
  return std::ranges::all_of(answers_, [](const Answer& a) { return a.finish() != FinishReason::none; });
}

Usage LiveRequest::usage(TimePoint now) const {
  Usage usage = usage_of(answers_.front(), now);
  std::optional<TimePoint> first, last;
  usage.completion_tokens = 0;
  for (const Answer& answer : answers_) {
    usage.completion_tokens += answer.tokens();
    if (!answer.first_token()) continue;
    first = std::min(first.value_or(*answer.first_token()), *answer.first_token());
    last = std::max(last.value_or(*answer.last_token()), *answer.last_token());
  }
  usage.times.prefill = between(moments_.scheduled, first);
  usage.times.decode = between(first, last);
  usage.times.ttft = between(moments_.submitted, first);
  return usage;
}

FinishReason LiveRequest::finish() const {
  return std::ranges::max_element(answers_, {}, [](const Answer& a) { return badness(a.finish()); })
      ->finish();
}

std::string LiveRequest::failure_code() const {
  for (const Answer& answer : answers_) {
    if (answer.failure()) return answer.failure()->code;
  }
  return "";
}

Usage LiveRequest::usage_of(const Answer& answer, TimePoint now) const {
  Usage usage;
  usage.prompt_tokens = prompt_tokens_;
  usage.image_tokens = image_tokens_;
  usage.cached_tokens = cached_tokens_;
  usage.images = reports_;
  usage.completion_tokens = answer.tokens();
  const Moments& m = moments_;
  usage.times.queue = between(m.submitted, m.scheduled);
  usage.times.preprocess = m.preprocess;
  usage.times.encode = between(m.first_sent, m.last_encoded);
  usage.times.prefill = between(m.scheduled, answer.first_token());
  usage.times.decode = between(answer.first_token(), answer.last_token());
  usage.times.ttft = between(m.submitted, answer.first_token());
  usage.times.total = seconds(now - m.submitted);
  return usage;
}

void LiveRequest::send(int answer, TokenEvent&& event) {
  event.request = id_;
  event.answer = answer;
  if (sink_) sink_(std::move(event));
}

void LiveRequest::send_last(int answer, TimePoint now) {
  const bool all = ended();
  if (all) abandoned_->store(true, std::memory_order_relaxed);
  try {
    TokenEvent event = answers_[static_cast<size_t>(answer)].take();
    event.usage = usage_of(answers_[static_cast<size_t>(answer)], now);
    send(answer, std::move(event));
  } catch (const std::exception& e) {
    log_error("a listener failed at the last event of an answer", "request", id_, "reason", e.what());
  }
  if (all) sink_ = nullptr;
}

}  // namespace uhd
