#include "model/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "model/text/jinja_expression.h"

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

  // After {%. Null for a tag without effect.
  NodePtr block() {
    const std::string name = in_.expect(TokenKind::name, "the name of a tag");
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
    node->names = targets();
    if (!in_.take_name("in")) in_.fail_here("'in' is missing in a loop");
    in_.adopt(*node, parse_operand(in_));  // no conditional expression: its `if` filters
    in_.adopt(*node, in_.take_name("if") ? parse_expression(in_) : nullptr);
    if (in_.take_name("recursive")) in_.fail_here("recursive loops are not supported");
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

  std::vector<std::string> targets() {
    const bool parenthesis = in_.take_symbol("(");
    std::vector<std::string> names{in_.expect(TokenKind::name, "a variable")};
    while (in_.take_symbol(",")) {
      if (!in_.at(TokenKind::name)) break;
      names.push_back(in_.take().text);
    }
    if (parenthesis) in_.expect_symbol(")");
    return names;
  }

  NodePtr set_block() {
    NodePtr node = in_.make(Kind::set);
    node->names = targets();
    if (node->names.size() == 1 && in_.take_symbol(".")) {
      node->on_namespace = true;
      node->names.push_back(in_.expect(TokenKind::name, "an attribute"));
    }
    if (in_.take_symbol("=")) {
      in_.adopt(*node, parse_expression_list(in_));
      end_of_block();
      return node;
    }
    if (node->names.size() != 1) in_.fail_here("'=' is missing in a set");
    node->kind = Kind::set_block;
    end_of_block();
    in_.adopt(*node, body({"endset"}));
    end_tag("endset");
    return node;
  }

  NodePtr macro_block() {
    NodePtr node = in_.make(Kind::macro);
    node->text = in_.expect(TokenKind::name, "a macro's name");
    in_.expect_symbol("(");
    std::vector<NodePtr> defaults;
    while (!in_.take_symbol(")")) {
      if (!node->names.empty()) in_.expect_symbol(",");
      node->names.push_back(in_.expect(TokenKind::name, "a parameter"));
      if (in_.take_symbol("=")) {
        defaults.push_back(parse_expression(in_));
      } else if (!defaults.empty()) {
        in_.fail_here("a parameter without default after one with");
      }
    }
    end_of_block();
    const int loops = std::exchange(loops_, 0);
    in_.adopt(*node, body({"endmacro"}));
    loops_ = loops;
    for (NodePtr& value : defaults) in_.adopt(*node, std::move(value));
    end_tag("endmacro");
    return node;
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
