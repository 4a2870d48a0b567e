// A Regex is a compiled regular expression over UTF-8 text (PCRE2, Unicode properties, just-in-time
// compiled).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// A Regex is immutable and thread-safe.
class Regex {
 public:
  // Compiles a pattern; one that does not compile is an Error with `where`.
  Regex(const std::string& pattern, const std::string& where);
  // Returns a pattern that matches exactly this text.
  static Regex literal(const std::string& text, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Returns every match in valid UTF-8, in order; empty matches are left out. A text on which matching takes
  // too many steps is an Error.
  std::vector<TextRange> find_all(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace uhd
