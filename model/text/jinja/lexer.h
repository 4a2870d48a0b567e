// Splits a chat template's source into text and the tokens of its tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uhd::jinja {

enum class TokenKind : uint8_t {
  text,
  output_begin,
  output_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  symbol,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  // the text of a string has its escapes resolved
  int line = 0;
};

// Splits with trim_blocks and lstrip_blocks, as transformers sets them: the newline after a block and the
// spaces before one that begins its line are dropped. Comments are dropped. A tag that does not end is an
// Error.
std::vector<Token> tokenize(std::string_view source);

}  // namespace uhd::jinja
