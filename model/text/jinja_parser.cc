#include "model/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "model/text/jinja_lexer.h"

namespace uhd::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;
constexpr int kMaxDepth = 100;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  NodePtr run() {
    NodePtr root = body({});
    if (!at(TokenKind::end)) fail_here("an unexpected end tag");
    return root;
  }

 private:
  // Statements up to a block that begins with one of `ends`; that block's name is left to be read.
  NodePtr body(std::initializer_list<std::string_view> ends) {
    const Guard guard(*this);
    NodePtr node = make(Kind::body);
    while (!at(TokenKind::end)) {
      if (at(TokenKind::text)) {
        NodePtr text = make(Kind::text);
        text->value = Value::text(take().text);
        adopt(*node, std::move(text));
      } else if (at(TokenKind::output_begin)) {
        take();
        NodePtr output = make(Kind::output);
        adopt(*output, expression_list());
        expect(TokenKind::output_end, "}}");
        adopt(*node, std::move(output));
      } else {
        const std::string& name = tokens_[at_ + 1].text;
        if (std::find(ends.begin(), ends.end(), name) != ends.end()) break;
        take();
        if (NodePtr statement = block()) adopt(*node, std::move(statement));
      }
    }
    return node;
  }

  // After {%. Null for a tag without effect.
  NodePtr block() {
    const std::string name = expect(TokenKind::name, "the name of a tag");
    if (name == "if") return if_block();
    if (name == "for") return for_block();
    if (name == "set") return set_block();
    if (name == "macro") return macro_block();
    if (name == "generation") {  // marks the assistant's words for training
      end_of_block();
      NodePtr inside = body({"endgeneration"});
      end_tag("endgeneration");
      return inside;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail_here(name + " outside of a loop");
      end_of_block();
      return make(name == "break" ? Kind::leave : Kind::next);
    }
    fail_here("the tag '" + name + "' is not supported here");
  }

  NodePtr if_block() {
    NodePtr node = make(Kind::if_else);
    adopt(*node, expression());
    end_of_block();
    adopt(*node, body({"elif", "else", "endif"}));
    while (next_tag("elif")) {
      adopt(*node, expression());
      end_of_block();
      adopt(*node, body({"elif", "else", "endif"}));
    }
    if (next_tag("else")) {
      end_of_block();
      adopt(*node, body({"endif"}));
    }
    end_tag("endif");
    return node;
  }

  NodePtr for_block() {
    NodePtr node = make(Kind::for_loop);
    node->names = targets();
    if (!take_name("in")) fail_here("'in' is missing in a loop");
    adopt(*node, logic_or());  // no conditional expression: its `if` filters
    adopt(*node, take_name("if") ? expression() : nullptr);
    if (take_name("recursive")) fail_here("recursive loops are not supported");
    end_of_block();
    ++loops_;
    adopt(*node, body({"else", "endfor"}));
    --loops_;
    NodePtr otherwise;
    if (next_tag("else")) {
      end_of_block();
      otherwise = body({"endfor"});
    }
    adopt(*node, std::move(otherwise));
    end_tag("endfor");
    return node;
  }

  std::vector<std::string> targets() {
    const bool parenthesis = take_symbol("(");
    std::vector<std::string> names{expect(TokenKind::name, "a variable")};
    while (take_symbol(",")) {
      if (!at(TokenKind::name)) break;
      names.push_back(take().text);
    }
    if (parenthesis) expect_symbol(")");
    return names;
  }

  NodePtr set_block() {
    NodePtr node = make(Kind::set);
    node->names = targets();
    if (node->names.size() == 1 && take_symbol(".")) {
      node->on_namespace = true;
      node->names.push_back(expect(TokenKind::name, "an attribute"));
    }
    if (take_symbol("=")) {
      adopt(*node, expression_list());
      end_of_block();
      return node;
    }
    if (node->names.size() != 1) fail_here("'=' is missing in a set");
    node->kind = Kind::set_block;
    end_of_block();
    adopt(*node, body({"endset"}));
    end_tag("endset");
    return node;
  }

  NodePtr macro_block() {
    NodePtr node = make(Kind::macro);
    node->text = expect(TokenKind::name, "a macro's name");
    expect_symbol("(");
    std::vector<NodePtr> defaults;
    while (!take_symbol(")")) {
      if (!node->names.empty()) expect_symbol(",");
      node->names.push_back(expect(TokenKind::name, "a parameter"));
      if (take_symbol("=")) {
        defaults.push_back(expression());
      } else if (!defaults.empty()) {
        fail_here("a parameter without default after one with");
      }
    }
    end_of_block();
    const int loops = std::exchange(loops_, 0);
    adopt(*node, body({"endmacro"}));
    loops_ = loops;
    for (NodePtr& value : defaults) adopt(*node, std::move(value));
    end_tag("endmacro");
    return node;
  }

  // a, b, c without brackets is a tuple.
  NodePtr expression_list() {
    NodePtr first = expression();
    if (!at_symbol(",")) return first;
    NodePtr list = make(Kind::list);
    adopt(*list, std::move(first));
    while (take_symbol(",")) {
      if (at(TokenKind::output_end) || at(TokenKind::block_end)) break;
      adopt(*list, expression());
    }
    return list;
  }

  NodePtr expression() {
    const Guard guard(*this);
    NodePtr value = logic_or();
    while (take_name("if")) {
      NodePtr node = make(Kind::conditional);
      adopt(*node, std::move(value));
      adopt(*node, logic_or());
      adopt(*node, take_name("else") ? expression() : nullptr);
      value = std::move(node);
    }
    return value;
  }

  NodePtr logic_or() {
    NodePtr left = logic_and();
    while (take_name("or")) left = two(Kind::logic_or, "", std::move(left), logic_and());
    return left;
  }
  NodePtr logic_and() {
    NodePtr left = logic_not();
    while (take_name("and")) left = two(Kind::logic_and, "", std::move(left), logic_not());
    return left;
  }
  NodePtr logic_not() {
    const Guard guard(*this);
    if (!take_name("not")) return comparison();
    NodePtr node = make(Kind::unary);
    node->text = "not";
    adopt(*node, logic_not());
    return node;
  }

  NodePtr comparison() {
    NodePtr left = sum();
    NodePtr chain;  // a < b < c is a < b and b < c
    while (true) {
      std::string operation;
      if (at(TokenKind::symbol) && is_one_of(current().text, {"==", "!=", "<", ">", "<=", ">="})) {
        operation = take().text;
      } else if (take_name("in")) {
        operation = "in";
      } else if (at_name("not") && tokens_[at_ + 1].kind == TokenKind::name &&
                 tokens_[at_ + 1].text == "in") {
        take();
        take();
        operation = "not in";
      } else {
        return chain ? std::move(chain) : std::move(left);
      }
      if (chain) fail_here("chained comparisons are not supported");
      chain = two(Kind::compare, operation, std::move(left), sum());
    }
  }

  NodePtr sum() {
    NodePtr left = concatenation();
    while (at_symbol("+") || at_symbol("-")) {
      const std::string operation = take().text;
      left = two(Kind::binary, operation, std::move(left), concatenation());
    }
    return left;
  }
  NodePtr concatenation() {
    NodePtr left = product();
    while (take_symbol("~")) left = two(Kind::binary, "~", std::move(left), product());
    return left;
  }
  NodePtr product() {
    NodePtr left = unary(true);
    while (at(TokenKind::symbol) && is_one_of(current().text, {"*", "/", "//", "%"})) {
      const std::string operation = take().text;
      left = two(Kind::binary, operation, std::move(left), unary(true));
    }
    return left;
  }

  NodePtr unary(bool with_filter) {
    const Guard guard(*this);
    NodePtr node = at_symbol("-") || at_symbol("+") ? signed_operand() : postfix(primary());
    return with_filter ? filters(std::move(node)) : std::move(node);
  }

  NodePtr signed_operand() {
    NodePtr node = make(Kind::unary);
    node->text = take().text;
    // The analyser loses sight of the pointer's owner in the recursion.
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
    adopt(*node, unary(false));
    return node;
  }

  NodePtr primary() {
    const Guard guard(*this);
    NodePtr node = make(Kind::constant);
    if (at(TokenKind::string)) {
      std::string text;
      while (at(TokenKind::string)) text += take().text;
      node->value = Value::text(text);
    } else if (at(TokenKind::integer)) {
      node->value = Value::of(static_cast<int64_t>(std::stoll(take().text)));
    } else if (at(TokenKind::real)) {
      node->value = Value::of(std::stod(take().text));
    } else if (at(TokenKind::name)) {
      name(*node);
    } else if (take_symbol("(")) {
      return parenthesis();
    } else if (take_symbol("[")) {
      node->kind = Kind::list;
      while (!take_symbol("]")) {
        if (!node->children.empty()) expect_symbol(",");
        if (take_symbol("]")) break;
        adopt(*node, expression());
      }
    } else if (take_symbol("{")) {
      node->kind = Kind::dict;
      while (!take_symbol("}")) {
        if (!node->children.empty()) expect_symbol(",");
        if (take_symbol("}")) break;
        adopt(*node, expression());
        expect_symbol(":");
        adopt(*node, expression());
      }
    } else {
      fail_here("an expression is missing");
    }
    return node;
  }

  void name(Node& node) {
    const std::string text = take().text;
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
    NodePtr list = make(Kind::list);
    if (take_symbol(")")) return list;
    NodePtr first = expression();
    if (take_symbol(")")) return first;
    adopt(*list, std::move(first));
    while (!take_symbol(")")) {
      expect_symbol(",");
      if (take_symbol(")")) break;
      adopt(*list, expression());
    }
    return list;
  }

  NodePtr postfix(NodePtr node) {
    while (true) {
      if (take_symbol(".")) {
        NodePtr access = make(at(TokenKind::integer) ? Kind::item : Kind::attribute);
        adopt(*access, std::move(node));
        if (access->kind == Kind::item) {
          adopt(*access, primary());
        } else {
          access->text = expect(TokenKind::name, "an attribute");
        }
        node = std::move(access);
      } else if (take_symbol("[")) {
        node = subscript(std::move(node));
      } else if (take_symbol("(")) {
        NodePtr call = make(Kind::call);
        adopt(*call, std::move(node));
        arguments(*call);
        node = std::move(call);
      } else {
        return node;
      }
    }
  }

  NodePtr subscript(NodePtr of) {
    NodePtr node = make(Kind::item);
    adopt(*node, std::move(of));
    NodePtr parts[3];
    size_t part = 0;
    while (!at_symbol("]")) {
      if (take_symbol(":")) {
        if (++part > 2) fail_here("a slice of more than three parts");
      } else {
        if (parts[part]) fail_here("a wrong subscript");
        parts[part] = expression();
      }
    }
    take();
    if (part == 0) {
      if (!parts[0]) fail_here("an empty subscript");
      adopt(*node, std::move(parts[0]));
      return node;
    }
    node->kind = Kind::slice;
    for (NodePtr& value : parts) adopt(*node, std::move(value));
    return node;
  }

  // After the opening parenthesis.
  void arguments(Node& node) {
    bool first = true;
    while (!take_symbol(")")) {
      if (!first) {
        expect_symbol(",");
        if (take_symbol(")")) break;
      }
      first = false;
      const Token& next = tokens_[at_ + 1];
      if (at(TokenKind::name) && next.kind == TokenKind::symbol && next.text == "=") {
        std::string key = take().text;
        take();
        NodePtr value = expression();
        grow(node, *value);
        node.keywords.emplace_back(std::move(key), std::move(value));
      } else {
        adopt(node, expression());
      }
    }
  }

  NodePtr filters(NodePtr node) {
    while (true) {
      if (take_symbol("|")) {
        NodePtr filter = make(Kind::filter);
        filter->text = expect(TokenKind::name, "a filter's name");
        adopt(*filter, std::move(node));
        if (take_symbol("(")) arguments(*filter);
        node = std::move(filter);
      } else if (take_name("is")) {
        node = test(std::move(node));
      } else if (at_symbol("(") || at_symbol("[") || at_symbol(".")) {
        node = postfix(std::move(node));
      } else {
        return node;
      }
    }
  }

  NodePtr test(NodePtr of) {
    const bool negated = take_name("not");
    NodePtr node = make(Kind::test);
    node->text = expect(TokenKind::name, "a test's name");
    adopt(*node, std::move(of));
    const Token& token = current();
    const bool value = token.kind == TokenKind::string || token.kind == TokenKind::integer ||
                       token.kind == TokenKind::real ||
                       (token.kind == TokenKind::symbol && is_one_of(token.text, {"[", "{"})) ||
                       (token.kind == TokenKind::name &&
                        !is_one_of(token.text, {"else", "or", "and", "is", "if", "in", "not", "recursive"}));
    if (take_symbol("(")) {
      arguments(*node);
    } else if (value) {
      adopt(*node, postfix(primary()));
    }
    if (!negated) return node;
    NodePtr inverse = make(Kind::unary);
    inverse->text = "not";
    adopt(*inverse, std::move(node));
    return inverse;
  }

  struct Guard {
    explicit Guard(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > 4 * kMaxDepth) parser_.fail_here("it is nested too deeply");
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { --parser_.nesting_; }
    Parser& parser_;
  };

  NodePtr make(Kind kind) const {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = current().line;
    return node;
  }
  NodePtr two(Kind kind, std::string operation, NodePtr left, NodePtr right) const {
    NodePtr node = make(kind);
    node->text = std::move(operation);
    adopt(*node, std::move(left));
    adopt(*node, std::move(right));
    return node;
  }
  void grow(Node& node, const Node& child) const {
    node.depth = std::max(node.depth, child.depth + 1);
    if (node.depth > kMaxDepth) fail_here("it is nested too deeply");
  }
  void adopt(Node& node, NodePtr child) const {
    if (child) grow(node, *child);
    node.children.push_back(std::move(child));
  }

  static bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
    return std::find(list.begin(), list.end(), text) != list.end();
  }
  const Token& current() const { return tokens_[at_]; }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_symbol(std::string_view text) const { return at(TokenKind::symbol) && current().text == text; }
  bool at_name(std::string_view text) const { return at(TokenKind::name) && current().text == text; }
  const Token& take() { return tokens_[at(TokenKind::end) ? at_ : at_++]; }
  bool take_symbol(std::string_view text) { return at_symbol(text) && (take(), true); }
  bool take_name(std::string_view text) { return at_name(text) && (take(), true); }
  std::string expect(TokenKind kind, const std::string& what) {
    if (!at(kind)) fail_here(what + " is missing");
    return take().text;
  }
  void expect_symbol(std::string_view text) {
    if (!take_symbol(text)) fail_here("'" + std::string(text) + "' is missing");
  }
  void end_of_block() { expect(TokenKind::block_end, "%}"); }
  // {% name, and the rest follows.
  bool next_tag(std::string_view name) {
    if (!at(TokenKind::block_begin) || tokens_[at_ + 1].text != name) return false;
    take();
    take();
    return true;
  }
  void end_tag(std::string_view name) {
    if (!next_tag(name)) fail_here(std::string(name) + " is missing");
    end_of_block();
  }
  [[noreturn]] void fail_here(const std::string& fault) const {
    fail(fault + ", line " + std::to_string(current().line));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

NodePtr parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) fail("it has more than a megabyte");
  return Parser(tokenize(source)).run();
}

}  // namespace uhd::jinja
