#include "model/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "base/utf8.h"

namespace uhd {

struct Regex::Code {
  pcre2_code* compiled = nullptr;
  ~Code() { pcre2_code_free(compiled); }
};

Regex::Regex(const std::string& pattern, const std::string& where) : code_(std::make_unique<Code>()) {
  int fault = 0;
  PCRE2_SIZE at = 0;
  require(pattern.size() <= 100'000, where, ": a regular expression of ", pattern.size(), " bytes");
  code_->compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &fault, &at, nullptr);
  require(code_->compiled != nullptr, where, ": the regular expression is wrong at byte ", at);
  pcre2_jit_compile(code_->compiled, PCRE2_JIT_COMPLETE);  // where it cannot, matching is interpreted
}

Regex Regex::literal(const std::string& text, const std::string& where) {
  std::string pattern;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= 'a' && byte <= 'z') || byte < 0x20;
    if (!plain) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return {pattern, where};
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<TextRange> Regex::find_all(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code_->compiled, nullptr), pcre2_match_data_free);
  std::vector<TextRange> found;
  size_t at = 0;
  while (at < text.size()) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code_->compiled, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                         PCRE2_NO_UTF_CHECK | options, match.get(), nullptr);
    };
    int result = run(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    require(result >= 0,
            "this text cannot be split into words: the tokenizer's pattern takes too many steps on it");
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    if (range[1] > range[0]) {
      found.push_back({range[0], range[1]});
      at = range[1];
    } else {
      at = std::max<size_t>(at, range[1]) + 1;
      while (at < text.size() && !begins_character(text[at])) ++at;
    }
  }
  return found;
}

}  // namespace uhd
