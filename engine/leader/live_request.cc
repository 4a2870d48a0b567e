#include "engine/leader/live_request.h"

#include <algorithm>

#include "base/log.h"
#include "engine/leader/seed.h"

namespace uhd {

namespace {

// A word is banned as the tokenizer writes it at the beginning of a text, and behind a space.
void add_bad_word(const std::string& word, const Tokenizer& tokenizer, TokenRules& rules) {
  const std::string bare = word.substr(std::min(word.find_first_not_of(' '), word.size()));
  for (const std::string& text : {bare, " " + bare}) {
    std::vector<int32_t> ids = tokenizer.encode(text, false, false);
    if (!ids.empty()) rules.never.push_back(std::move(ids));
  }
}

std::optional<TokenRules> token_rules(const SamplingParams& sampling, const Tokenizer& tokenizer) {
  if (sampling.allowed_ids.empty() && sampling.bad_words.empty()) return std::nullopt;
  TokenRules rules{sampling.allowed_ids, {}};
  std::sort(rules.allowed.begin(), rules.allowed.end());
  for (const std::string& word : sampling.bad_words) add_bad_word(word, tokenizer, rules);
  return rules;
}

std::shared_ptr<const AnswerRules> rules_of(const Request& request, const PlannedRequest& planned,
                                            const std::vector<int32_t>& eos_ids, const Tokenizer& tokenizer) {
  auto rules = std::make_shared<AnswerRules>();
  rules->sampling = request.sampling;
  rules->stop = request.stop;
  rules->max_tokens = planned.max_tokens;
  std::vector<int32_t>& ids = rules->stop_ids;
  ids = request.stop.stop_ids;
  if (!request.stop.ignore_eos) ids.insert(ids.end(), eos_ids.begin(), eos_ids.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  rules->tokens = token_rules(request.sampling, tokenizer);
  rules->grammar = planned.grammar;
  if (planned.thinking) rules->thoughts_end = tokenizer.id_of("</think>");
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
      work_(work_of(planned, request_.n)),
      memory_(std::move(memory)),
      sink_(std::move(sink)),
      spans_(std::make_shared<VisualSpans>(std::move(planned.prompt.spans))),
      images_(std::move(planned.images)),
      uncut_(static_cast<int>(images_.size())),
      prompt_ids_(std::move(planned.prompt.ids)),
      prompt_tokens_(static_cast<int>(prompt_ids_.size())),
      image_tokens_(planned.image_tokens),
      tokenizer_(tokenizer),
      rules_(rules_of(request_, planned, eos_ids, *tokenizer)) {
  for (int answer = 0; answer < request_.n; ++answer) {
    answers_.emplace_back(seed_of(request_.sampling.seed.value_or(0), answer), rules_, tokenizer);
  }
  // The plan holds what was asked now; the bytes of images live on in images_ until they are cut.
  request_.messages = {};
  request_.prompt.reset();
  request_.prompt_ids = {};
  for (const PlannedImage& image : images_) reports_.push_back(image.report);
  moments_.submitted = Clock::now();
  if (request_.timeline) begin_timeline();
}

void LiveRequest::begin_timeline() {
  const TimePoint now = record_ ? record_->zero : moments_.submitted;
  timeline_ = std::make_unique<Timeline>(request_.first_byte.value_or(now), answers(),
                                         [this](const TimelineSpan& span) { send_span(span); });
}

void LiveRequest::trace(std::shared_ptr<TraceRecord> record) {
  record_ = std::move(record);
  begin_timeline();
}

// A listener that fails here fails again at the next token, whose fault ends the request.
void LiveRequest::send_span(const TimelineSpan& span) {
  try {
    if (record_ != nullptr) record_->spans.push_back(span);
    if (request_.timeline) send(0, {.span = span});
  } catch (const std::exception& e) {
    log_error("a listener failed at a span of a timeline", "request", id_, "reason", e.what());
  }
}

void LiveRequest::tell_arrival() {
  if (timeline_ == nullptr || !request_.first_byte || !request_.last_byte) return;
  timeline_->add({.stage = Stage::read}, *request_.first_byte, *request_.last_byte);
  timeline_->add({.stage = Stage::lay_out}, *request_.last_byte, moments_.submitted);
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
  spec.max_tokens = std::max(1, rules_->max_tokens);
  spec.deadline = request_.deadline;
  spec.cache_root = cache_root;
  if (answer > 0) spec.after = sequence(0);
  spec.scores = answer == 0 && request_.prompt_logprobs >= 0;
  return spec;
}

void LiveRequest::image_cut(TimePoint now) {
  if (--uncut_ == 0 && moments_.preprocess == 0) moments_.preprocess = seconds(now - moments_.submitted);
}

// Slices of one image count alike, whatever their sizes. Tokens that were computed again do not count.
Work LiveRequest::done(int begun) const {
  int named = 0;
  for (const VisualSpan& span : *spans_) named += span.slice ? 1 : 0;
  for (const ImageReport& image : reports_) named -= image.cached_slices;
  Work done;
  if (named > 0) done.patches = work_.patches * named / static_cast<int64_t>(spans_->size());
  done.prefill_rows = begun;
  for (const Answer& answer : answers_) {
    if (!answer.first_token()) continue;
    done.prefill_rows = work_.prefill_rows - cached_tokens_;
    done.decode_rows += answer.tokens();
  }
  return done;
}

PromptToken LiveRequest::prompt_token(int32_t id) const {
  return {.id = std::max(id, -1), .bytes = id < 0 ? "" : tokenizer_->bytes_of_token(id)};
}

void LiveRequest::begin_scores() {
  if (request_.prompt_logprobs < 0) return;
  TokenEvent event;
  event.prompt.push_back(prompt_token(prompt_ids_.front()));
  event.memory = memory_;
  send(0, std::move(event));
}

void LiveRequest::prompt_scored(std::span<const int32_t> tokens, std::span<const ScoredToken> scores) {
  TokenEvent event;
  size_t next = 0;
  for (const int32_t id : tokens) {
    PromptToken& token = event.prompt.emplace_back(prompt_token(id));
    if (id < 0) continue;
    const ScoredToken& score = scores[next++];
    token.scored = true;
    token.logprob = score.logprob;
    token.rank = score.rank;
    for (const auto& [likely, logprob] : score.top) {
      token.top.push_back({likely, tokenizer_->bytes_of_token(likely), logprob});
    }
  }
  send(0, std::move(event));
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
    if (timeline_ != nullptr) timeline_->end_run(answer);
    TokenEvent event = answers_[static_cast<size_t>(answer)].take();
    event.usage = usage_of(answers_[static_cast<size_t>(answer)], now);
    send(answer, std::move(event));
  } catch (const std::exception& e) {
    log_error("a listener failed at the last event of an answer", "request", id_, "reason", e.what());
  }
  if (all) sink_ = nullptr;
}

}  // namespace uhd
