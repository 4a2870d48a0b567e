// A TokenReader walks through a template's tokens, and makes the parser's nodes no deeper than is safe to
// walk.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/text/jinja/ast.h"
#include "model/text/jinja/lexer.h"

namespace uhd::jinja {

// `tokens` end with TokenKind::end, which the reader never passes. An Error names the line.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at(TokenKind::end) ? at_ : at_ + 1]; }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_symbol(std::string_view text) const { return at(TokenKind::symbol) && current().text == text; }
  bool at_name(std::string_view text) const { return at(TokenKind::name) && current().text == text; }

  const Token& take() { return tokens_[at(TokenKind::end) ? at_ : at_++]; }
  bool take_symbol(std::string_view text) { return at_symbol(text) && (take(), true); }
  bool take_name(std::string_view text) { return at_name(text) && (take(), true); }
  // Returns the token's text.
  std::string expect(TokenKind kind, const std::string& what);
  void expect_symbol(std::string_view text);
  [[noreturn]] void fail_here(const std::string& fault) const;

  // Makes a node of the current line.
  NodePtr make(Kind kind) const;
  NodePtr two(Kind kind, std::string operation, NodePtr left, NodePtr right) const;
  void adopt(Node& node, NodePtr child) const;
  // Makes the node deeper than its child.
  void grow(Node& node, const Node& child) const;

  // Every function that calls itself has a Guard.
  class Guard {
   public:
    explicit Guard(TokenReader& reader);
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { --reader_.nesting_; }

   private:
    TokenReader& reader_;
  };

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace uhd::jinja
