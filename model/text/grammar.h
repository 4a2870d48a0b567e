// A Grammar says which texts an answer may be: a JSON schema, a regular expression, a grammar in EBNF.
//
// This is the seam to the plugin that compiles grammars and follows them token by token (grammar/): plain
// types and abstract classes, so that the server is built without it. The method is XGrammar's
// (arXiv 2411.15100).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace uhd {

enum class GrammarKind : uint8_t {
  json_object,     // any JSON object; the text is not read
  json_schema,     // a JSON schema
  regex,           // a regular expression that the whole answer matches
  ebnf,            // rules as in llama.cpp's GBNF; the first is called root
  structural_tag,  // XGrammar's JSON form of tags and what stands between them
};

struct GrammarSpec {
  GrammarKind kind = GrammarKind::json_object;
  std::string text;
  bool operator==(const GrammarSpec&) const = default;
};

// A GrammarError says what is wrong with a client's grammar.
struct GrammarError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Returns how many words hold one bit for each of so many ids. Bit i of a word is that of id 32 · word + i.
constexpr size_t mask_words(size_t ids) { return (ids + 31) / 32; }
constexpr bool in_mask(std::span<const int32_t> mask, size_t id) {
  return id / 32 < mask.size() && (static_cast<uint32_t>(mask[id / 32]) >> (id % 32) & 1) != 0;
}

// A GrammarMatcher follows one answer. One thread uses it.
class GrammarMatcher {
 public:
  virtual ~GrammarMatcher() = default;
  // Sets the bits of the ids that may come next, and clears the others. End tokens may come where the text
  // is whole. `mask` has the words for the vocabulary.
  virtual void next(std::span<int32_t> mask) = 0;
  // Takes the id that came. Returns false for one that could not come, and stays as it is then.
  virtual bool accept(int32_t id) = 0;
  // Returns true once an end token was accepted: nothing may come any more.
  virtual bool ended() const = 0;
};

// A Grammar is compiled for one vocabulary. It is immutable and thread-safe.
class Grammar {
 public:
  virtual ~Grammar() = default;
  virtual std::unique_ptr<GrammarMatcher> matcher() const = 0;
  virtual size_t vocabulary() const = 0;  // ids
  virtual size_t bytes() const = 0;       // the memory that it takes, about
};

// The tokens that answers are made of: the bytes of each id, which are empty where an answer never holds it.
struct GrammarVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> end_ids;  // not empty
};

// A GrammarCompiler is thread-safe.
class GrammarCompiler {
 public:
  virtual ~GrammarCompiler() = default;
  // Throws a GrammarError for a grammar that is wrong, or costs more time or memory than `seconds` of one
  // core and what the plugin allows.
  virtual std::shared_ptr<const Grammar> compile(const GrammarSpec& spec, double seconds) const = 0;
};

// The plugin, libuhd_grammar.so, exports this as `uhd_grammar_plugin`. It is found next to the program or in
// ../lib, through the program's RUNPATH, and stays loaded. Both sides state the headers that they were built
// with; a library of another build is refused.
struct GrammarPlugin {
  const char* interface;  // UHD_GRAMMAR_INTERFACE
  std::unique_ptr<GrammarCompiler> (*make_compiler)(GrammarVocabulary vocabulary);
};

// Loads the plugin. An Error says in one line why it cannot be had, and how to get it.
std::unique_ptr<GrammarCompiler> make_grammar_compiler(GrammarVocabulary vocabulary);

}  // namespace uhd
