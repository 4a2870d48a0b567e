#include "engine/leader/answer.h"

#include <algorithm>

#include "base/log.h"

namespace uhd {

Answer::Answer(uint64_t seed, std::shared_ptr<const AnswerRules> rules,
               const std::shared_ptr<const Tokenizer>& tokenizer)
    : seed_(seed),
      rules_(std::move(rules)),
      tokenizer_(tokenizer),
      detokenizer_(tokenizer, rules_->stop.stop) {}

SampleRow Answer::sample_row(const Sequence& sequence) const {
  const std::span<const int32_t> tokens(sequence.tokens);
  const auto prompt = static_cast<size_t>(sequence.prompt_length);
  SampleRow row{.rule = rules_->sampling};
  row.seed = seed_;
  row.step = static_cast<uint64_t>(sequence.generated());
  row.logit_bias = rules_->sampling.logit_bias.empty() ? nullptr : &rules_->sampling.logit_bias;
  if (sequence.generated() < rules_->stop.min_tokens) row.banned = rules_->stop_ids;
  row.prompt = tokens.first(prompt);
  row.output = tokens.subspan(prompt);
  return row;
}

void Answer::push(const SampledToken& token, TimePoint now) {
  if (!token.valid) {
    return end(FinishReason::error,
               Failure{FailureKind::internal, "not_a_number", "the model's result is not a number"});
  }
  if (!first_token_) first_token_ = now;
  last_token_ = now;
  ++tokens_;
  next_.ids.push_back(token.id);
  if (ends_answer(token.id)) return end(FinishReason::stop, std::nullopt);
  next_.text += detokenizer_.push(token.id, tokens_ > rules_->stop.min_tokens);
  if (rules_->sampling.logprobs >= 0) next_.logprobs.push_back(logprob_of(token));
  if (detokenizer_.stopped()) {
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

TokenLogprob Answer::logprob_of(const SampledToken& token) const {
  TokenLogprob logprob{token.id, tokenizer_->bytes_of_token(token.id), token.logprob, {}};
  for (const auto& [id, value] : token.top) logprob.top.emplace_back(tokenizer_->bytes_of_token(id), value);
  return logprob;
}

}  // namespace uhd
