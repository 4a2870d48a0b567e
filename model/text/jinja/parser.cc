#include "model/text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "model/text/jinja/expression.h"

namespace uhd::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;

// The tags; expressions are read by jinja_expression.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : in_(std::move(tokens)) {}

  NodePtr run() {
    NodePtr root = body({});
    if (!in_.at(TokenKind::end)) in_.fail_here("an unexpected end tag");
    return root;
  }

 private:
  // Statements up to a block that begins with one of `ends`; that block's name is left to be read.
  NodePtr body(std::initializer_list<std::string_view> ends) {
    const TokenReader::Guard guard(in_);
    NodePtr node = in_.make(Kind::body);
    while (!in_.at(TokenKind::end)) {
      if (in_.at(TokenKind::text)) {
        NodePtr text = in_.make(Kind::text);
        text->value = Value::text(in_.take().text);
        in_.adopt(*node, std::move(text));
      } else if (in_.at(TokenKind::output_begin)) {
        in_.take();
        NodePtr output = in_.make(Kind::output);
        in_.adopt(*output, parse_expression_list(in_));
        in_.expect(TokenKind::output_end, "}}");
        in_.adopt(*node, std::move(output));
      } else {
        const std::string& name = in_.next().text;
        if (std::find(ends.begin(), ends.end(), name) != ends.end()) break;
        in_.take();
        if (NodePtr statement = block()) in_.adopt(*node, std::move(statement));
      }
    }
    return node;
  }

  // Parses a block after {%. Returns null for a tag without effect.
  NodePtr block() {
    const std::string name = in_.expect(TokenKind::name, "the name of a tag");
    if (name == "if") return if_block();
    if (name == "for") return for_block();
    if (name == "set") return set_block();
    if (name == "macro") return macro_block();
    if (name == "call") return call_block();
    if (name == "filter") return filter_block();
    if (name == "with") return with_block();
    if (name == "generation") {  // marks the assistant's words for training
      end_of_block();
      NodePtr inside = body({"endgeneration"});
      end_tag("endgeneration");
      return inside;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) in_.fail_here(name + " outside of a loop");
      end_of_block();
      return in_.make(name == "break" ? Kind::leave : Kind::next);
    }
    in_.fail_here("the tag '" + name + "' is not supported here");
  }

  NodePtr if_block() {
    NodePtr node = in_.make(Kind::if_else);
    in_.adopt(*node, parse_expression(in_));
    end_of_block();
    in_.adopt(*node, body({"elif", "else", "endif"}));
    while (next_tag("elif")) {
      in_.adopt(*node, parse_expression(in_));
      end_of_block();
      in_.adopt(*node, body({"elif", "else", "endif"}));
    }
    if (next_tag("else")) {
      end_of_block();
      in_.adopt(*node, body({"endif"}));
    }
    end_tag("endif");
    return node;
  }

  NodePtr for_block() {
    NodePtr node = in_.make(Kind::for_loop);
    node->target = targets();
    if (!in_.take_name("in")) in_.fail_here("'in' is missing in a loop");
    in_.adopt(*node, parse_operand(in_));  // no conditional expression: its `if` filters
    in_.adopt(*node, in_.take_name("if") ? parse_expression(in_) : nullptr);
    node->recursive = in_.take_name("recursive");
    end_of_block();
    ++loops_;
    in_.adopt(*node, body({"else", "endfor"}));
    --loops_;
    NodePtr otherwise;
    if (next_tag("else")) {
      end_of_block();
      otherwise = body({"endfor"});
    }
    in_.adopt(*node, std::move(otherwise));
    end_tag("endfor");
    return node;
  }

  // Variables, maybe several to unpack.
  NodePtr targets() {
    NodePtr first = one_target();
    if (!in_.at_symbol(",")) return first;
    NodePtr all = in_.make(Kind::tuple);
    in_.adopt(*all, std::move(first));
    while (in_.take_symbol(",")) {
      if (!in_.at(TokenKind::name) && !in_.at_symbol("(")) break;
      if (in_.at_name("in")) break;
      in_.adopt(*all, one_target());
    }
    return all;
  }
  NodePtr one_target() {
    const TokenReader::Guard guard(in_);
    if (in_.take_symbol("(")) {
      NodePtr inside = targets();
      in_.expect_symbol(")");
      return inside;
    }
    NodePtr node = in_.make(Kind::name);
    node->text = in_.expect(TokenKind::name, "a variable");
    return node;
  }

  NodePtr set_block() {
    NodePtr node = in_.make(Kind::set);
    node->target = targets();
    if (node->target->kind == Kind::name && in_.take_symbol(".")) {
      node->on_namespace = true;
      node->names = {node->target->text, in_.expect(TokenKind::name, "an attribute")};
    }
    if (in_.take_symbol("=")) {
      in_.adopt(*node, parse_expression_list(in_));
      end_of_block();
      return node;
    }
    if (node->target->kind != Kind::name) in_.fail_here("'=' is missing in a set");
    const bool filtered = in_.take_symbol("|");
    in_.adopt(*node, captured_body(filtered, "endset"));
    return node;
  }

  NodePtr filter_block() {
    NodePtr node = in_.make(Kind::output);
    in_.adopt(*node, captured_body(true, "endfilter"));
    return node;
  }

  // The text of the statements up to `end`, behind the filters that stand in the tag.
  NodePtr captured_body(bool filtered, std::string_view end) {
    NodePtr top = in_.make(Kind::captured);
    Node* captured = top.get();
    if (filtered) top = parse_filters(in_, std::move(top));
    end_of_block();
    const int loops = std::exchange(loops_, 0);
    in_.adopt(*captured, body({end}));
    loops_ = loops;
    end_tag(end);
    int depth = captured->depth;
    for (const Node* node = top.get(); node != captured; node = node->children[0].get()) ++depth;
    top->depth = std::max(top->depth, depth);
    return top;
  }

  NodePtr with_block() {
    NodePtr node = in_.make(Kind::with);
    while (!in_.at(TokenKind::block_end)) {
      if (!node->names.empty()) in_.expect_symbol(",");
      node->names.push_back(in_.expect(TokenKind::name, "a variable"));
      in_.expect_symbol("=");
      in_.adopt(*node, parse_expression(in_));
    }
    end_of_block();
    in_.adopt(*node, body({"endwith"}));
    end_tag("endwith");
    return node;
  }

  NodePtr macro_block() {
    NodePtr node = in_.make(Kind::macro);
    node->text = in_.expect(TokenKind::name, "a macro's name");
    in_.expect_symbol("(");
    std::vector<NodePtr> defaults = read_parameters(*node);
    body_of_macro(*node, std::move(defaults), "endmacro");
    return node;
  }

  // {% call(parameters) macro(arguments) %}
  NodePtr call_block() {
    NodePtr node = in_.make(Kind::call_block);
    NodePtr caller = in_.make(Kind::macro);
    caller->text = "caller";
    std::vector<NodePtr> defaults;
    if (in_.take_symbol("(")) defaults = read_parameters(*caller);
    in_.adopt(*node, parse_expression(in_));
    if (node->children[0]->kind != Kind::call) in_.fail_here("a call is missing");
    body_of_macro(*caller, std::move(defaults), "endcall");
    in_.adopt(*node, std::move(caller));
    return node;
  }

  // Parses parameters after the parenthesis. Returns the defaults of the last ones.
  std::vector<NodePtr> read_parameters(Node& node) {
    std::vector<NodePtr> defaults;
    while (!in_.take_symbol(")")) {
      if (!node.names.empty()) in_.expect_symbol(",");
      node.names.push_back(in_.expect(TokenKind::name, "a parameter"));
      if (in_.take_symbol("=")) {
        defaults.push_back(parse_expression(in_));
      } else if (!defaults.empty()) {
        in_.fail_here("a parameter without default after one with");
      }
    }
    return defaults;
  }

  void body_of_macro(Node& node, std::vector<NodePtr> defaults, std::string_view end) {
    end_of_block();
    const int loops = std::exchange(loops_, 0);
    in_.adopt(node, body({end}));
    loops_ = loops;
    for (NodePtr& value : defaults) in_.adopt(node, std::move(value));
    end_tag(end);
  }

  void end_of_block() { in_.expect(TokenKind::block_end, "%}"); }
  // {% name, and the rest follows.
  bool next_tag(std::string_view name) {
    if (!in_.at(TokenKind::block_begin) || in_.next().text != name) return false;
    in_.take();
    in_.take();
    return true;
  }
  void end_tag(std::string_view name) {
    if (!next_tag(name)) in_.fail_here(std::string(name) + " is missing");
    end_of_block();
  }

  TokenReader in_;
  int loops_ = 0;
};

}  // namespace

NodePtr parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) fail("it has more than a megabyte");
  return Parser(tokenize(source)).run();
}

}  // namespace uhd::jinja
