#include "model/text/jinja/reader.h"

#include <algorithm>

namespace uhd::jinja {

namespace {

constexpr int kMaxDepth = 100;

}  // namespace

std::string TokenReader::expect(TokenKind kind, const std::string& what) {
  if (!at(kind)) fail_here(what + " is missing");
  return take().text;
}

void TokenReader::expect_symbol(std::string_view text) {
  if (!take_symbol(text)) fail_here("'" + std::string(text) + "' is missing");
}

void TokenReader::fail_here(const std::string& fault) const {
  fail(fault + ", line " + std::to_string(current().line));
}

NodePtr TokenReader::make(Kind kind) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->line = current().line;
  return node;
}

NodePtr TokenReader::two(Kind kind, std::string operation, NodePtr left, NodePtr right) const {
  NodePtr node = make(kind);
  node->text = std::move(operation);
  adopt(*node, std::move(left));
  adopt(*node, std::move(right));
  return node;
}

void TokenReader::adopt(Node& node, NodePtr child) const {
  if (child) grow(node, *child);
  node.children.push_back(std::move(child));
}

void TokenReader::grow(Node& node, const Node& child) const {
  node.depth = std::max(node.depth, child.depth + 1);
  if (node.depth > kMaxDepth) fail_here("it is nested too deeply");
}

TokenReader::Guard::Guard(TokenReader& reader) : reader_(reader) {
  if (++reader_.nesting_ > 4 * kMaxDepth) reader_.fail_here("it is nested too deeply");
}

}  // namespace uhd::jinja
