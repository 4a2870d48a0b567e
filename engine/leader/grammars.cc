#include "engine/leader/grammars.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

namespace {

constexpr const char* kRefusal = "invalid_grammar";  // the grammar's own fault, which stays
constexpr size_t kMostRefused = 64;                  // of at most request_limits::kLongestGrammar bytes each

Grammars::Result compile_with(const GrammarCompiler& compiler, const GrammarSpec& spec, double limit) {
  try {
    return compiler.compile(spec, limit);
  } catch (const GrammarError& e) {
    return Failure{FailureKind::invalid, kRefusal, message("the answer's grammar is refused: ", e.what())};
  } catch (const std::exception& e) {
    log_error("a grammar could not be compiled", "reason", e.what());
    return Failure{FailureKind::internal, "internal_error", "the answer's grammar could not be compiled"};
  }
}

// The next client asks soon, so that the compiler hardly rests between two grammars.
Failure others_come_first(bool next) {
  constexpr double kSoon_s = 0.05, kLater_s = 0.25;  // within ClientTurns::kKept
  return {FailureKind::unavailable, "grammar_busy", "grammars of other requests come first", 1, {},
          next ? kSoon_s : kLater_s};
}

}  // namespace

GrammarVocabulary grammar_vocabulary(const Tokenizer& tokenizer, int vocabulary,
                                     const std::vector<int32_t>& end_ids) {
  GrammarVocabulary out;
  for (int32_t id = 0; id < vocabulary; ++id) {
    const bool text = id < tokenizer.vocabulary() && !tokenizer.is_special(id) &&
                      std::find(end_ids.begin(), end_ids.end(), id) == end_ids.end();
    out.tokens.push_back(text ? tokenizer.bytes_of_token(id) : std::string());
  }
  out.end_ids = end_ids;
  return out;
}

Grammars::Grammars(std::shared_ptr<const Tokenizer> tokenizer, int vocabulary, std::vector<int32_t> end_ids,
                   GrammarLimits limits, MakeCompiler make)
    : tokenizer_(std::move(tokenizer)),
      vocabulary_(vocabulary),
      end_ids_(std::move(end_ids)),
      limits_(limits),
      make_(std::move(make)) {}

std::optional<Failure> Grammars::check_turn(const GrammarSpec& spec, const std::string& salt,
                                            const std::string& client) {
  const std::lock_guard lock(mutex_);
  if (find(spec, salt) || turns_.ask(client, Clock::now())) return std::nullopt;
  return others_come_first(turns_.is_first(client));
}

Grammars::Compiled Grammars::compile(const GrammarSpec& spec, const std::string& salt,
                                     const std::string& client) {
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find(spec, salt)) return {*std::move(known)};
    if (!turns_.ask(client, Clock::now())) return {others_come_first(turns_.is_first(client))};
    turns_.begin(client);
  }
  Compiled compiled = compile_now(spec);
  {
    const std::lock_guard lock(mutex_);
    turns_.end(Clock::now());
    if (const auto* grammar = std::get_if<0>(&compiled.result)) {
      keep({spec, salt, *grammar});
    } else if (const auto& failure = std::get<Failure>(compiled.result); failure.code == kRefusal) {
      keep_refused({spec, salt, failure});
    }
  }
  return compiled;
}

// A fault is a Failure, never an exception.
Grammars::Compiled Grammars::compile_now(const GrammarSpec& spec) {
  try {
    if (end_ids_.empty())
      throw Error("structured output needs a model with an end token, and this one has none");
    if (compiler_ == nullptr) compiler_ = make_(grammar_vocabulary(*tokenizer_, vocabulary_, end_ids_));
  } catch (const Error& e) {
    return {Failure{FailureKind::invalid, "not_implemented", e.what()}};
  }
  const TimePoint begun = Clock::now();
  Result result = compile_with(*compiler_, spec, limits_.seconds);
  return {std::move(result), seconds(Clock::now() - begun)};
}

std::optional<Grammars::Result> Grammars::find(const GrammarSpec& spec, const std::string& salt) {
  const auto same = [&](const auto& k) { return k.spec == spec && k.salt == salt; };
  const auto bad = std::ranges::find_if(refused_, same);
  if (bad != refused_.end()) return bad->failure;
  const auto at = std::ranges::find_if(kept_, same);
  if (at == kept_.end()) return std::nullopt;
  kept_.splice(kept_.begin(), kept_, at);
  return at->grammar;
}

void Grammars::keep(Kept kept) {
  const auto size = [](const Kept& k) {
    return static_cast<int64_t>(k.grammar->bytes() + k.spec.text.size());
  };
  if (size(kept) > limits_.cache_bytes) return;  // it would only drive out all others
  bytes_ += size(kept);
  kept_.push_front(std::move(kept));
  while (bytes_ > limits_.cache_bytes) {
    bytes_ -= size(kept_.back());
    kept_.pop_back();
  }
}

void Grammars::keep_refused(Refused refused) {
  refused_.push_front(std::move(refused));
  if (refused_.size() > kMostRefused) refused_.pop_back();
}

}  // namespace uhd
