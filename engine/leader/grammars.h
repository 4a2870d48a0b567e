// The grammars of answers: compiled once for each client's grammar, and kept while there is room.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "base/clock.h"
#include "engine/leader/client_turns.h"
#include "engine/request.h"
#include "model/text/tokenizer.h"

namespace uhd {

// Returns the tokens of which answers that follow a grammar are made: all but the special ones. `vocabulary`
// is the model's, which may have more ids than the tokenizer.
GrammarVocabulary grammar_vocabulary(const Tokenizer& tokenizer, int vocabulary,
                                     const std::vector<int32_t>& end_ids);

struct GrammarLimits {
  double seconds = 5;                       // seconds of one core that compiling a grammar may take
  int64_t cache_bytes = int64_t{64} << 20;  // memory of compiled grammars that no answer uses now
};

// Thread-safe. The plugin is loaded for the first grammar that comes.
class Grammars {
 public:
  using MakeCompiler = std::function<std::unique_ptr<GrammarCompiler>(GrammarVocabulary)>;
  Grammars(std::shared_ptr<const Tokenizer> tokenizer, int vocabulary, std::vector<int32_t> end_ids,
           GrammarLimits limits, MakeCompiler make = make_grammar_compiler);

  using Result = std::variant<std::shared_ptr<const Grammar>, Failure>;
  struct Compiled {
    Result result;
    double seconds = 0;  // the time that it took; 0: it was known, or never begun
  };
  // Returns a failure with `again_s` if compile() would return it now. It costs next to nothing, and who asks
  // keeps its client's turn.
  std::optional<Failure> check_turn(const GrammarSpec& spec, const std::string& salt,
                                    const std::string& client);
  // Returns the compiled grammar, on the calling thread, which it may hold for some seconds. Grammars are
  // compiled one at a time, so that hostile ones hold neither more than one core nor every thread that reads
  // requests, and clients take turns: while it is another's turn, a failure with `again_s` comes back at
  // once. A salt does not find what is kept for another: times would tell what others ask. Ones that were
  // refused of late are refused again without being compiled.
  Compiled compile(const GrammarSpec& spec, const std::string& salt, const std::string& client);

 private:
  struct Kept {
    GrammarSpec spec;
    std::string salt;
    std::shared_ptr<const Grammar> grammar;
  };
  struct Refused {
    GrammarSpec spec;
    std::string salt;
    Failure failure;
  };
  Compiled compile_now(const GrammarSpec& spec);
  // These need the lock.
  std::optional<Result> find(const GrammarSpec& spec, const std::string& salt);
  void keep(Kept kept);
  void keep_refused(Refused refused);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int vocabulary_;
  const std::vector<int32_t> end_ids_;
  const GrammarLimits limits_;
  const MakeCompiler make_;
  std::unique_ptr<GrammarCompiler> compiler_;  // null until the first grammar; who compiles uses it
  std::mutex mutex_;                           // guards what follows
  ClientTurns turns_;
  std::list<Kept> kept_;  // the last used goes first
  int64_t bytes_ = 0;
  std::list<Refused> refused_;  // the last goes first
};

}  // namespace uhd
