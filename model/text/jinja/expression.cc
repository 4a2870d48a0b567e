#include "model/text/jinja/expression.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

namespace uhd::jinja {

namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// An ExpressionParser has one function for each level of precedence.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& in) : in_(in) {}

  NodePtr expression_list() {
    NodePtr first = expression();
    if (!in_.at_symbol(",")) return first;
    NodePtr list = in_.make(Kind::tuple);
    in_.adopt(*list, std::move(first));
    while (in_.take_symbol(",")) {
      if (in_.at(TokenKind::output_end) || in_.at(TokenKind::block_end)) break;
      in_.adopt(*list, expression());
    }
    return list;
  }

  NodePtr expression() {
    const TokenReader::Guard guard(in_);
    NodePtr value = logic_or();
    while (in_.take_name("if")) {
      NodePtr node = in_.make(Kind::conditional);
      in_.adopt(*node, std::move(value));
      in_.adopt(*node, logic_or());
      in_.adopt(*node, in_.take_name("else") ? expression() : nullptr);
      value = std::move(node);
    }
    return value;
  }

  NodePtr logic_or() {
    NodePtr left = logic_and();
    while (in_.take_name("or")) left = in_.two(Kind::logic_or, "", std::move(left), logic_and());
    return left;
  }

 private:
  NodePtr logic_and() {
    NodePtr left = logic_not();
    while (in_.take_name("and")) left = in_.two(Kind::logic_and, "", std::move(left), logic_not());
    return left;
  }
  NodePtr logic_not() {
    const TokenReader::Guard guard(in_);
    if (!in_.take_name("not")) return comparison();
    NodePtr node = in_.make(Kind::unary);
    node->text = "not";
    in_.adopt(*node, logic_not());
    return node;
  }

  NodePtr comparison() {
    NodePtr first = sum();
    std::string operation = take_comparison();
    if (operation.empty()) return first;
    NodePtr node = in_.make(Kind::compare);
    in_.adopt(*node, std::move(first));
    for (; !operation.empty(); operation = take_comparison()) {
      node->names.push_back(operation);
      in_.adopt(*node, sum());
    }
    return node;
  }

  std::string take_comparison() {
    if (in_.at(TokenKind::symbol) && is_one_of(in_.current().text, {"==", "!=", "<", ">", "<=", ">="})) {
      return in_.take().text;
    }
    if (in_.take_name("in")) return "in";
    if (!in_.at_name("not") || in_.next().kind != TokenKind::name || in_.next().text != "in") return "";
    in_.take();
    in_.take();
    return "not in";
  }

  NodePtr sum() {
    NodePtr left = concatenation();
    while (in_.at_symbol("+") || in_.at_symbol("-")) {
      const std::string operation = in_.take().text;
      left = in_.two(Kind::binary, operation, std::move(left), concatenation());
    }
    return left;
  }
  NodePtr concatenation() {
    NodePtr left = product();
    while (in_.take_symbol("~")) left = in_.two(Kind::binary, "~", std::move(left), product());
    return left;
  }
  NodePtr product() {
    NodePtr left = power();
    while (in_.at(TokenKind::symbol) && is_one_of(in_.current().text, {"*", "/", "//", "%"})) {
      const std::string operation = in_.take().text;
      left = in_.two(Kind::binary, operation, std::move(left), power());
    }
    return left;
  }
  NodePtr power() {
    NodePtr left = unary(true);
    while (in_.take_symbol("**")) left = in_.two(Kind::binary, "**", std::move(left), unary(true));
    return left;
  }

  NodePtr unary(bool with_filter) {
    const TokenReader::Guard guard(in_);
    NodePtr node = in_.at_symbol("-") || in_.at_symbol("+") ? signed_operand() : postfix(primary());
    return with_filter ? filters(std::move(node)) : std::move(node);
  }

  NodePtr signed_operand() {
    NodePtr node = in_.make(Kind::unary);
    node->text = in_.take().text;
    // The analyser loses sight of the pointer's owner in the recursion.
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
    in_.adopt(*node, unary(false));
    return node;
  }

  NodePtr primary() {
    const TokenReader::Guard guard(in_);
    NodePtr node = in_.make(Kind::constant);
    if (in_.at(TokenKind::string)) {
      std::string text;
      while (in_.at(TokenKind::string)) text += in_.take().text;
      node->value = Value::text(text);
    } else if (in_.at(TokenKind::integer)) {
      node->value = Value::of(static_cast<int64_t>(std::stoll(in_.take().text)));
    } else if (in_.at(TokenKind::real)) {
      node->value = Value::of(std::strtod(in_.take().text.c_str(), nullptr));
    } else if (in_.at(TokenKind::name)) {
      name(*node);
    } else if (in_.take_symbol("(")) {
      return parenthesis();
    } else if (in_.take_symbol("[")) {
      node->kind = Kind::list;
      while (!in_.take_symbol("]")) {
        if (!node->children.empty()) in_.expect_symbol(",");
        if (in_.take_symbol("]")) break;
        in_.adopt(*node, expression());
      }
    } else if (in_.take_symbol("{")) {
      node->kind = Kind::dict;
      while (!in_.take_symbol("}")) {
        if (!node->children.empty()) in_.expect_symbol(",");
        if (in_.take_symbol("}")) break;
        in_.adopt(*node, expression());
        in_.expect_symbol(":");
        in_.adopt(*node, expression());
      }
    } else {
      in_.fail_here("an expression is missing");
    }
    return node;
  }

  void name(Node& node) {
    const std::string text = in_.take().text;
    if (is_one_of(text, {"true", "True", "false", "False"})) {
      node.value = Value::of(text == "true" || text == "True");
    } else if (is_one_of(text, {"none", "None"})) {
      node.value = Value::none();
    } else {
      node.kind = Kind::name;
      node.text = text;
    }
  }

  NodePtr parenthesis() {
    NodePtr list = in_.make(Kind::tuple);
    if (in_.take_symbol(")")) return list;
    NodePtr first = expression();
    if (in_.take_symbol(")")) return first;
    in_.adopt(*list, std::move(first));
    while (!in_.take_symbol(")")) {
      in_.expect_symbol(",");
      if (in_.take_symbol(")")) break;
      in_.adopt(*list, expression());
    }
    return list;
  }

  NodePtr postfix(NodePtr node) {
    while (true) {
      if (in_.take_symbol(".")) {
        NodePtr access = in_.make(in_.at(TokenKind::integer) ? Kind::item : Kind::attribute);
        in_.adopt(*access, std::move(node));
        if (access->kind == Kind::item) {
          in_.adopt(*access, primary());
        } else {
          access->text = in_.expect(TokenKind::name, "an attribute");
        }
        node = std::move(access);
      } else if (in_.take_symbol("[")) {
        node = subscript(std::move(node));
      } else if (in_.take_symbol("(")) {
        NodePtr call = in_.make(Kind::call);
        in_.adopt(*call, std::move(node));
        arguments(*call);
        node = std::move(call);
      } else {
        return node;
      }
    }
  }

  NodePtr subscript(NodePtr of) {
    NodePtr node = in_.make(Kind::item);
    in_.adopt(*node, std::move(of));
    NodePtr parts[3];
    size_t part = 0;
    while (!in_.at_symbol("]")) {
      if (in_.take_symbol(":")) {
        if (++part > 2) in_.fail_here("a slice of more than three parts");
      } else {
        if (parts[part]) in_.fail_here("a wrong subscript");
        parts[part] = expression();
      }
    }
    in_.take();
    if (part == 0) {
      if (!parts[0]) in_.fail_here("an empty subscript");
      in_.adopt(*node, std::move(parts[0]));
      return node;
    }
    node->kind = Kind::slice;
    for (NodePtr& value : parts) in_.adopt(*node, std::move(value));
    return node;
  }

  // Reads the arguments after the opening parenthesis.
  void arguments(Node& node) {
    bool first = true;
    while (!in_.take_symbol(")")) {
      if (!first) {
        in_.expect_symbol(",");
        if (in_.take_symbol(")")) break;
      }
      first = false;
      const Token& next = in_.next();
      if (in_.at_symbol("*") || in_.at_symbol("**")) {
        std::string spread = in_.take().text;
        keyword(node, std::move(spread));
      } else if (in_.at(TokenKind::name) && next.kind == TokenKind::symbol && next.text == "=") {
        std::string key = in_.take().text;
        in_.take();
        keyword(node, std::move(key));
      } else {
        in_.adopt(node, expression());
      }
    }
  }

  void keyword(Node& node, std::string name) {
    NodePtr value = expression();
    in_.grow(node, *value);
    node.keywords.emplace_back(std::move(name), std::move(value));
  }

 public:
  // Reads a filter after its sign.
  NodePtr filter(NodePtr of) {
    NodePtr node = in_.make(Kind::filter);
    node->text = in_.expect(TokenKind::name, "a filter's name");
    in_.adopt(*node, std::move(of));
    if (in_.take_symbol("(")) arguments(*node);
    return node;
  }

  NodePtr filters(NodePtr node) {
    while (true) {
      if (in_.take_symbol("|")) {
        node = filter(std::move(node));
      } else if (in_.take_name("is")) {
        node = test(std::move(node));
      } else if (in_.at_symbol("(") || in_.at_symbol("[") || in_.at_symbol(".")) {
        node = postfix(std::move(node));
      } else {
        return node;
      }
    }
  }

 private:
  NodePtr test(NodePtr of) {
    const bool negated = in_.take_name("not");
    NodePtr node = in_.make(Kind::test);
    node->text = in_.expect(TokenKind::name, "a test's name");
    in_.adopt(*node, std::move(of));
    const Token& token = in_.current();
    const bool value = token.kind == TokenKind::string || token.kind == TokenKind::integer ||
                       token.kind == TokenKind::real ||
                       (token.kind == TokenKind::symbol && is_one_of(token.text, {"[", "{"})) ||
                       (token.kind == TokenKind::name &&
                        !is_one_of(token.text, {"else", "or", "and", "is", "if", "in", "not", "recursive"}));
    if (in_.take_symbol("(")) {
      arguments(*node);
    } else if (value) {
      in_.adopt(*node, postfix(primary()));
    }
    if (!negated) return node;
    NodePtr inverse = in_.make(Kind::unary);
    inverse->text = "not";
    in_.adopt(*inverse, std::move(node));
    return inverse;
  }

  TokenReader& in_;
};

}  // namespace

NodePtr parse_expression(TokenReader& in) { return ExpressionParser(in).expression(); }

NodePtr parse_expression_list(TokenReader& in) { return ExpressionParser(in).expression_list(); }

NodePtr parse_filters(TokenReader& in, NodePtr of) {
  ExpressionParser parser(in);
  return parser.filters(parser.filter(std::move(of)));
}

NodePtr parse_operand(TokenReader& in) {
  ExpressionParser parser(in);
  NodePtr first = parser.logic_or();
  if (!in.at_symbol(",")) return first;
  NodePtr all = in.make(Kind::tuple);
  in.adopt(*all, std::move(first));
  while (in.take_symbol(",") && !in.at(TokenKind::block_end)) in.adopt(*all, parser.logic_or());
  return all;
}

}  // namespace uhd::jinja
