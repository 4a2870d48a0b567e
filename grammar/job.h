// A job goes to the process that compiles one grammar, and a result comes back (base/archive.h).
//
// A grammar is a program that a client sends. Compiling it may take any time, memory and depth of the stack,
// so it happens in a process of its own, which has limits and may die of them; the server reads its result.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/text/grammar.h"

namespace uhd {

struct GrammarJob {
  GrammarSpec spec;
  GrammarVocabulary vocabulary;
  uint32_t seconds = 0;  // seconds of one core that compiling may take
};

// The result is the compiled grammar in XGrammar's own form, or the reason why there is none.
struct GrammarResult {
  bool compiled = false;
  std::string text;
};

template <class Archive>
void serialize(Archive& archive, GrammarJob& job) {
  archive(job.spec.kind, job.spec.text, job.vocabulary.tokens, job.vocabulary.end_ids, job.seconds);
}
template <class Archive>
void serialize(Archive& archive, GrammarResult& result) {
  archive(result.compiled, result.text);
}

// Files in memory: these read one whole, and write one. A fault is a std::runtime_error.
std::vector<std::byte> read_whole(int file);
void write_whole(int file, const std::vector<std::byte>& bytes);

}  // namespace uhd
