#include "engine/leader/answer.h"

#include <time.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

namespace {

// A grammar holds up every answer of the step. One that needs so long for a token is hostile or broken.
constexpr double kSlowestGrammar_s = 0.25;

// Of this thread alone: another one that takes the core is no fault of the grammar.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void check_quick(double begun) {
  const double took = thread_seconds() - begun;
  check(took < kSlowestGrammar_s, "the grammar of an answer took ", took, " s for one token");
}

}  // namespace

Answer::Answer(uint64_t seed, std::shared_ptr<const AnswerRules> rules,
               const std::shared_ptr<const Tokenizer>& tokenizer)
    : seed_(seed),
      rules_(std::move(rules)),
      tokenizer_(tokenizer),
      detokenizer_(tokenizer, rules_->stop.stop, rules_->stop.skip_special, rules_->stop.keep_stop) {
  if (rules_->grammar == nullptr) return;
  matcher_ = rules_->grammar->matcher();
  in_thoughts_ = rules_->thoughts_end.has_value();
  mask_.resize(mask_words(rules_->grammar->vocabulary()));
}

SampleRow Answer::sample_row(const Sequence& sequence) const {
  const std::span<const int32_t> tokens(sequence.tokens);
  const auto prompt = static_cast<size_t>(sequence.prompt_length);
  SampleRow row{.rule = rules_->sampling};
  row.seed = seed_;
  row.step = static_cast<uint64_t>(sequence.generated());
  row.logit_bias = rules_->sampling.logit_bias.empty() ? nullptr : &rules_->sampling.logit_bias;
  if (sequence.generated() < rules_->stop.min_tokens) row.banned = rules_->stop_ids;
  if (rules_->tokens) row.tokens = &*rules_->tokens;
  row.masked = matcher_ != nullptr;
  row.prompt = tokens.first(prompt);
  row.output = tokens.subspan(prompt);
  return row;
}

// In thoughts every token may come.
std::span<const int32_t> Answer::next_mask() {
  if (matcher_ == nullptr || in_thoughts_) return {};
  const double begun = thread_seconds();
  matcher_->next(mask_);
  check_quick(begun);
  const bool none = std::ranges::all_of(mask_, [](int32_t word) { return word == 0; });
  return none ? std::span<const int32_t>() : mask_;
}

// Returns false for a token that the grammar does not have here.
bool Answer::follow(int32_t id) {
  if (matcher_ == nullptr) return true;
  if (in_thoughts_) {
    in_thoughts_ = id != *rules_->thoughts_end;
    return true;
  }
  const double begun = thread_seconds();
  const bool follows = matcher_->accept(id);
  check_quick(begun);
  return follows;
}

void Answer::push(const SampledToken& token, TimePoint now) {
  if (!token.valid) {
    return end(FinishReason::error, not_a_number());
  }
  if (!follow(token.id)) {
    return end(FinishReason::error, Failure{FailureKind::internal, "grammar_failed",
                                            "no token of the model continues the answer by its grammar"});
  }
  if (!first_token_) first_token_ = now;
  last_token_ = now;
  if (rules_->stop.prompt_only) return end(FinishReason::length, std::nullopt);
  ++tokens_;
  next_.ids.push_back(token.id);
  if (ends_answer(token.id)) return stop_at(token.id);
  next_.text += detokenizer_.push(token.id, tokens_ > rules_->stop.min_tokens);
  if (rules_->sampling.logprobs >= 0) next_.logprobs.push_back(logprob_of(token));
  if (detokenizer_.stopped()) {
    stop_reason_ = detokenizer_.stopped_by();
    end(FinishReason::stop, std::nullopt);
  } else if (matcher_ != nullptr && matcher_->ended()) {
    end(FinishReason::stop, std::nullopt);
  } else if (tokens_ >= rules_->max_tokens) {
    end(FinishReason::length, std::nullopt);
  }
}

void Answer::end(FinishReason reason, std::optional<Failure> failure) {
  if (finish_ != FinishReason::none) return;
  finish_ = reason;
  failure_ = std::move(failure);
}

TokenEvent Answer::take() {
  TokenEvent event = std::exchange(next_, {});
  event.finish = finish_;
  event.failure = failure_;
  if (finish_ == FinishReason::stop) event.stop_reason = stop_reason_;
  if (finish_ == FinishReason::none || detokenizer_.stopped()) return event;
  try {
    event.text += detokenizer_.flush();
  } catch (const std::exception& e) {
    log_error("the end of an answer is lost", "reason", e.what());
  }
  return event;
}

bool Answer::ends_answer(int32_t id) const {
  return std::binary_search(rules_->stop_ids.begin(), rules_->stop_ids.end(), id);
}

// The model's own end is no reason that a request gave.
void Answer::stop_at(int32_t id) {
  const std::vector<int32_t>& asked = rules_->stop.stop_ids;
  if (std::find(asked.begin(), asked.end(), id) != asked.end()) stop_reason_ = id;
  if (rules_->stop.keep_stop) next_.text += detokenizer_.push(id, false);
  end(FinishReason::stop, std::nullopt);
}

TokenLogprob Answer::logprob_of(const SampledToken& token) const {
  TokenLogprob logprob{token.id, tokenizer_->bytes_of_token(token.id), token.logprob, {}};
  for (const auto& [id, value] : token.top) logprob.top.emplace_back(tokenizer_->bytes_of_token(id), value);
  return logprob;
}

}  // namespace uhd
