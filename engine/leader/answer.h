// One answer of a request, from its first token to its last: text, stop rules, log-probabilities.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "model/language/sampler.h"
#include "model/text/detokenizer.h"
#include "scheduler/sequence.h"

namespace uhd {

inline Failure not_a_number() {
  return {FailureKind::internal, "not_a_number", "the model's result is not a number"};
}

// All answers of one request have these rules in common.
struct AnswerRules {
  SamplingParams sampling;
  StopRules stop;
  std::vector<int32_t> stop_ids;  // sorted: the model's end tokens and the request's own
  std::optional<TokenRules> tokens;
  std::shared_ptr<const Grammar> grammar;  // null: any text
  std::optional<int32_t> thoughts_end;     // the grammar holds behind this token; nothing: from the first on
  int max_tokens = 0;
};

// Used by the engine's thread.
class Answer {
 public:
  Answer(uint64_t seed, std::shared_ptr<const AnswerRules> rules,
         const std::shared_ptr<const Tokenizer>& tokenizer);

  // Returns how the next token is drawn, but for its mask; the row is valid until the sequence changes.
  SampleRow sample_row(const Sequence& sequence) const;
  // Returns the mask of the next token; empty: any may come, or none, and then push() refuses what comes. The
  // answer must have taken every token that was drawn before, and must not have ended. Valid until the next
  // call. Throws if its grammar takes too long.
  std::span<const int32_t> next_mask();
  // Takes a token that was drawn; its text waits for take(). Throws what the detokenizer throws.
  void push(const SampledToken& token, TimePoint now);
  // Ends it for another reason than its tokens; without effect once it has ended.
  void end(FinishReason reason, std::optional<Failure> failure);
  // Returns the text that is certain and was not taken yet. When the answer has ended, this is its last
  // event, without usage.
  TokenEvent take();

  bool has_text() const { return !next_.text.empty(); }
  FinishReason finish() const { return finish_; }
  const std::optional<Failure>& failure() const { return failure_; }
  int tokens() const { return tokens_; }
  std::optional<TimePoint> first_token() const { return first_token_; }
  std::optional<TimePoint> last_token() const { return last_token_; }

 private:
  bool ends_answer(int32_t id) const;
  bool follow(int32_t id);
  void stop_at(int32_t id);
  TokenLogprob logprob_of(const SampledToken& token) const;

  uint64_t seed_;
  std::shared_ptr<const AnswerRules> rules_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Detokenizer detokenizer_;
  TokenEvent next_;  // gathers ids whose text is not certain yet
  int tokens_ = 0;
  std::optional<TimePoint> first_token_;
  std::optional<TimePoint> last_token_;
  FinishReason finish_ = FinishReason::none;
  std::optional<Failure> failure_;
  StopReason stop_reason_;
  std::unique_ptr<GrammarMatcher> matcher_;  // null: any text
  bool in_thoughts_ = false;                 // the grammar has not begun
  std::vector<int32_t> mask_;                // bits of the ids that may be the next token
};

}  // namespace uhd
