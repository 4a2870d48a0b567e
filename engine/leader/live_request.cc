#include "engine/leader/live_request.h"

#include <algorithm>

#include "base/log.h"

namespace uhd {

LiveRequest::LiveRequest(RequestId id, Request request, PlannedRequest planned, std::shared_ptr<void> memory,
                         TokenSink sink, const std::shared_ptr<const Tokenizer>& tokenizer,
                         const std::vector<int32_t>& eos_ids)
    : id_(id),
      request_(std::move(request)),
      memory_(std::move(memory)),
      sink_(std::move(sink)),
      tokenizer_(tokenizer),
      detokenizer_(tokenizer, request_.stop.stop),
      stop_ids_(request_.stop.stop_ids),
      spans_(std::move(planned.prompt.spans)),
      images_(std::move(planned.images)),
      prompt_ids_(std::move(planned.prompt.ids)),
      max_tokens_(planned.max_tokens) {
  if (!request_.stop.ignore_eos) stop_ids_.insert(stop_ids_.end(), eos_ids.begin(), eos_ids.end());
  std::sort(stop_ids_.begin(), stop_ids_.end());
  stop_ids_.erase(std::unique(stop_ids_.begin(), stop_ids_.end()), stop_ids_.end());
  // What was asked is in the plan now; the bytes of images live on in images_ until they are cut.
  request_.messages = {};
  request_.prompt.reset();
  request_.prompt_ids = {};
  usage_.prompt_tokens = static_cast<int>(prompt_ids_.size());
  usage_.image_tokens = planned.image_tokens;
  for (const PlannedImage& image : images_) usage_.images.push_back(image.report);
  moments_.submitted = Clock::now();
}

SequenceSpec LiveRequest::take_spec() {
  SequenceSpec spec;
  spec.id = id_;
  spec.prompt = std::move(prompt_ids_);
  for (const VisualSpan& span : spans_) spec.spans.push_back({span.position, span.length, false});
  spec.max_tokens = max_tokens_;
  spec.deadline = request_.deadline;
  return spec;
}

void LiveRequest::images_cut(TimePoint now) {
  images_.clear();
  moments_.preprocess = seconds(now - moments_.submitted);
}

SampleRow LiveRequest::sample_row(const Sequence& sequence) const {
  const SamplingParams& s = request_.sampling;
  const std::span<const int32_t> tokens(sequence.tokens);
  SampleRow row;
  row.temperature = s.temperature;
  row.top_k = s.top_k;
  row.top_p = s.top_p;
  row.min_p = s.min_p;
  row.repetition_penalty = s.repetition_penalty;
  row.presence_penalty = s.presence_penalty;
  row.frequency_penalty = s.frequency_penalty;
  row.seed = s.seed.value_or(0);
  row.step = static_cast<uint64_t>(sequence.generated());
  row.logprobs = s.logprobs;
  row.logit_bias = s.logit_bias.empty() ? nullptr : &s.logit_bias;
  if (sequence.generated() < request_.stop.min_tokens) row.banned = stop_ids_;
  row.prompt = tokens.first(static_cast<size_t>(sequence.prompt_length));
  row.output = tokens.subspan(static_cast<size_t>(sequence.prompt_length));
  return row;
}

FinishReason LiveRequest::token(const SampledToken& token, TimePoint now) {
  if (!token.valid) {
    end(FinishReason::error, Failure{500, "not_a_number", "the model's result is not a number", 0}, now);
    return finish_;
  }
  if (!moments_.first_token) moments_.first_token = now;
  moments_.last_token = now;
  ++usage_.completion_tokens;
  next_.ids.push_back(token.id);
  if (ends_answer(token.id)) {
    end(FinishReason::stop, std::nullopt, now);
    return finish_;
  }
  next_.text += detokenizer_.push(token.id, usage_.completion_tokens > request_.stop.min_tokens);
  if (request_.sampling.logprobs >= 0) next_.logprobs.push_back(logprob_of(token));
  if (detokenizer_.stopped()) {
    end(FinishReason::stop, std::nullopt, now);
  } else if (usage_.completion_tokens >= max_tokens_) {
    end(FinishReason::length, std::nullopt, now);
  } else if (!next_.text.empty()) {
    send(std::exchange(next_, {}));
  }
  return finish_;
}

void LiveRequest::end(FinishReason reason, std::optional<Failure> failure, TimePoint now) {
  if (finish_ != FinishReason::none) return;
  finish_ = reason;
  abandoned_->store(true, std::memory_order_relaxed);
  if (failure) failure_code_ = failure->code;
  fill_times(now);
  TokenEvent last = std::exchange(next_, {});
  last.finish = reason;
  last.usage = usage_;
  last.failure = std::move(failure);
  send_last(std::move(last));
  sink_ = nullptr;
}

bool LiveRequest::ends_answer(int32_t id) const {
  return std::binary_search(stop_ids_.begin(), stop_ids_.end(), id);
}

TokenLogprob LiveRequest::logprob_of(const SampledToken& token) const {
  TokenLogprob logprob{token.id, tokenizer_->bytes_of_token(token.id), token.logprob, {}};
  for (const auto& [id, value] : token.top) logprob.top.emplace_back(tokenizer_->bytes_of_token(id), value);
  return logprob;
}

void LiveRequest::fill_times(TimePoint now) {
  StageTimes& times = usage_.times;
  const Moments& m = moments_;
  const auto between = [](const std::optional<TimePoint>& from, const std::optional<TimePoint>& to) {
    return from && to ? std::max(0.0, seconds(*to - *from)) : 0.0;
  };
  times.queue = between(m.submitted, m.scheduled);
  times.preprocess = m.preprocess;
  times.encode = between(m.first_sent, m.last_encoded);
  times.prefill = between(m.scheduled, m.first_token);
  times.decode = between(m.first_token, m.last_token);
  times.ttft = between(m.submitted, m.first_token);
  times.total = seconds(now - m.submitted);
}

void LiveRequest::send(TokenEvent&& event) {
  event.request = id_;
  if (sink_) sink_(std::move(event));
}

void LiveRequest::send_last(TokenEvent&& event) {
  try {
    if (!detokenizer_.stopped()) event.text += detokenizer_.flush();
  } catch (const std::exception& e) {
    log_error("the end of an answer is lost", "request", id_, "reason", e.what());
  }
  try {
    send(std::move(event));
  } catch (const std::exception& e) {
    log_error("a listener failed at its last event", "request", id_, "reason", e.what());
  }
}

}  // namespace uhd
