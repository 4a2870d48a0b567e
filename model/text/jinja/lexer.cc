#include "model/text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf8.h"
#include "model/text/jinja/value.h"

namespace uhd::jinja {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string with_plain_newlines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (out.ends_with('\n')) out.pop_back();  // Jinja's keep_trailing_newline is off
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag();
      add_text(tag);
      if (tag == std::string::npos) break;
      const char kind = source_[tag + 1];
      advance(tag + 2);
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) advance(at_ + 1);
      if (kind == '#') {
        skip_comment();
      } else {
        read_tag(kind == '{');
      }
    }
    push(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  size_t find_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string::npos; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() && std::string_view("{%#").find(source_[at + 1]) != std::string_view::npos)
        return at;
    }
    return std::string::npos;
  }

  // Adds the text up to the tag, without the part that the tag's sign or the beginning of its line takes
  // away.
  void add_text(size_t tag) {
    std::string text = source_.substr(at_, tag == std::string::npos ? tag : tag - at_);
    const size_t whole = text.size();
    if (tag != std::string::npos) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      if (sign == '-') {
        text.erase(text.find_last_not_of(kSpaces) + 1);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const size_t line = text.rfind('\n') + 1;  // 0 when there is none
        if ((line > 0 || line_starting_) && text.find_first_not_of(kSpaces, line) == std::string::npos) {
          text.erase(line);
        }
      }
    }
    if (!text.empty()) push(TokenKind::text, text);
    advance(at_ + whole);
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail_here("a comment does not end");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    advance(end + 2);
    after_tag(sign, true);
  }

  // Drops the part of the text behind a tag that the end of the tag takes away.
  void after_tag(char sign, bool block) {
    const size_t begin = at_;
    if (sign == '-') {
      advance(std::min(source_.find_first_not_of(kSpaces, at_), source_.size()));
    } else if (block && sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      advance(at_ + 1);
    }
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  void read_tag(bool output) {
    push(output ? TokenKind::output_begin : TokenKind::block_begin, "");
    const size_t first = tokens_.size();
    int brackets = 0;
    while (true) {
      const size_t next = source_.find_first_not_of(kSpaces, at_);
      if (next == std::string::npos) fail_here("a tag does not end");
      advance(next);
      const std::string_view rest = std::string_view(source_).substr(at_);
      const size_t sign = rest[0] == '-' || rest[0] == '+' ? 1 : 0;
      if (rest.substr(sign).starts_with(output ? "}}" : "%}") && brackets == 0) {
        const char mark = sign == 1 ? rest[0] : ' ';
        advance(at_ + sign + 2);
        push(output ? TokenKind::output_end : TokenKind::block_end, "");
        if (!output && tokens_.size() == first + 2 && tokens_[first].text == "raw")
          return read_raw(first, mark);
        return after_tag(mark, !output);
      }
      read_token(rest, brackets);
    }
  }

  void read_token(std::string_view rest, int& brackets) {
    const char c = rest[0];
    if (is_letter(c)) {
      size_t length = 1;
      while (length < rest.size() && (is_letter(rest[length]) || is_digit(rest[length]))) ++length;
      return take(TokenKind::name, length);
    }
    if (is_digit(c)) return read_number(rest);
    if (c == '"' || c == '\'') return read_string(c);
    static constexpr std::array<std::string_view, 7> kPairs = {"==", "!=", "<=", ">=", "//", "**", "~="};
    for (const std::string_view pair : kPairs) {
      if (rest.starts_with(pair)) return take(TokenKind::symbol, 2);
    }
    if (std::string_view("+-*/%~<>=.,:|()[]{}").find(c) == std::string_view::npos) {
      fail_here(std::string("an unexpected character '") + c + "'");
    }
    if (c == '(' || c == '[' || c == '{') ++brackets;
    if ((c == ')' || c == ']' || c == '}') && --brackets < 0) fail_here("a bracket too many");
    take(TokenKind::symbol, 1);
  }

  // Reads numbers as Python does: with _ between digits, 0x, 0o and 0b, and exponents. The token leaves out
  // everything that stoll does not read.
  void read_number(std::string_view rest) {
    size_t length = number_prefix(rest);
    const bool plain = length == 0;
    const auto take_digits = [&] {
      while (length < rest.size() &&
             (is_digit(rest[length]) || (!plain && is_letter(rest[length])) ||
              (rest[length] == '_' && length + 1 < rest.size() && rest[length + 1] != '_'))) {
        ++length;
      }
    };
    take_digits();
    bool real = false;
    if (plain && length + 1 < rest.size() && rest[length] == '.' && is_digit(rest[length + 1])) {
      real = true;
      ++length;
      take_digits();
    }
    if (const size_t exponent = plain ? exponent_length(rest.substr(length)) : 0; exponent > 0) {
      real = true;
      length += exponent;
      take_digits();
    }
    std::string digits(rest.substr(0, length));
    std::erase(digits, '_');
    if (digits.size() > (real ? 40U : 18U)) fail_here("a number with too many digits");
    push(real ? TokenKind::real : TokenKind::integer, real ? digits : whole(digits));
    advance(at_ + length);
  }

  static size_t number_prefix(std::string_view rest) {
    if (rest.size() < 3 || rest[0] != '0') return 0;
    return std::string_view("xXoObB").find(rest[1]) == std::string_view::npos ? 0 : 2;
  }
  static size_t exponent_length(std::string_view rest) {
    if (rest.empty() || (rest[0] != 'e' && rest[0] != 'E')) return 0;
    const size_t sign = rest.size() > 1 && (rest[1] == '+' || rest[1] == '-') ? 1 : 0;
    return rest.size() > sign + 1 && is_digit(rest[sign + 1]) ? sign + 1 : 0;
  }
  std::string whole(const std::string& digits) const {
    const size_t prefix = number_prefix(digits);
    const int base = prefix == 0                            ? 10
                     : digits[1] == 'x' || digits[1] == 'X' ? 16
                     : digits[1] == 'b' || digits[1] == 'B' ? 2
                                                            : 8;
    int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [last, fault] = std::from_chars(digits.data() + prefix, end, value, base);
    if (fault != std::errc() || last != end) fail_here("a wrong number");
    return std::to_string(value);
  }

  void read_string(char quote) {
    std::string text;
    size_t at = at_ + 1;
    for (; at < source_.size() && source_[at] != quote; ++at) {
      if (source_[at] != '\\' || at + 1 >= source_.size()) {
        text.push_back(source_[at]);
        continue;
      }
      const char c = source_[++at];
      const size_t named = std::string_view("ntrbfav\\'\"").find(c);
      if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_utf8(text, hexadecimal(at + 1, digits));
        at += digits;
      } else if (c >= '0' && c <= '7') {
        at += read_octal(at, text) - 1;
      } else if (c == 'N') {
        fail_here("a character by its name");
      } else if (c == '\n') {
      } else if (named != std::string_view::npos) {
        text.push_back("\n\t\r\b\f\a\v\\'\""[named]);
      } else {
        text.push_back('\\');
        text.push_back(c);
      }
    }
    if (at >= source_.size()) fail_here("a text does not end");
    push(TokenKind::string, text);
    advance(at + 1);
  }

  // One to three digits; returns how many.
  size_t read_octal(size_t at, std::string& text) const {
    uint32_t value = 0;
    size_t digits = 0;
    for (; digits < 3 && at + digits < source_.size(); ++digits) {
      const char c = source_[at + digits];
      if (c < '0' || c > '7') break;
      value = value * 8 + static_cast<uint32_t>(c - '0');
    }
    append_utf8(text, value);
    return digits;
  }

  uint32_t hexadecimal(size_t at, size_t digits) {
    uint32_t value = 0;
    for (size_t i = at; i < at + digits; ++i) {
      const char c = i < source_.size() ? source_[i] : ' ';
      const size_t digit = std::string_view("0123456789abcdef").find(c >= 'A' && c <= 'F' ? c + 32 : c);
      if (digit == std::string_view::npos) fail_here("a wrong escape in a text");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) fail_here("an escape that is no character");
    return value;
  }

  // {% raw %}: text as it is, up to {% endraw %}.
  void read_raw(size_t first, char mark) {
    tokens_.resize(first - 1);
    after_tag(mark, true);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      size_t name = tag + 2;
      if (name < source_.size() && (source_[name] == '-' || source_[name] == '+')) ++name;
      name = source_.find_first_not_of(kSpaces, name);
      if (name == std::string::npos || source_.compare(name, 6, "endraw") != 0) continue;
      const size_t end = source_.find("%}", name);
      if (end == std::string::npos) break;
      add_text(tag);
      advance(end + 2);
      return after_tag(source_[end - 1], true);
    }
    fail_here("raw does not end");
  }

  void take(TokenKind kind, size_t length) {
    push(kind, source_.substr(at_, length));
    advance(at_ + length);
  }
  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  [[noreturn]] void fail_here(const std::string& fault) const {
    fail(fault + ", line " + std::to_string(line_));
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(with_plain_newlines(source)).run(); }

}  // namespace uhd::jinja
