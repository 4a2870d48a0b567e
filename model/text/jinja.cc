#include "model/text/jinja.h"

#include <cmath>
#include <map>

#include "base/error.h"
#include "model/text/jinja_ast.h"
#include "model/text/jinja_builtins.h"
#include "model/text/jinja_parser.h"

namespace uhd {
namespace jinja {
namespace {

constexpr int kMaxCalls = 20;

enum class Flow : uint8_t { next, leave_loop, next_item };
using Scope = std::map<std::string, Value, std::less<>>;

class Evaluator {
 public:
  explicit Evaluator(const Dict& variables) {
    Scope& globals = scopes_.emplace_back();
    globals["range"] = Value::of(Function::range);
    globals["namespace"] = Value::of(Function::make_namespace);
    globals["dict"] = Value::of(Function::make_dict);
    globals["raise_exception"] = Value::of(Function::raise_exception);
    globals["strftime_now"] = Value::of(Function::strftime_now);
    for (const auto& [name, value] : variables.items) globals[name] = value;
  }
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;
  // A namespace can hold itself: what they hold is let go here.
  ~Evaluator() {
    for (const auto& one : namespaces_) one->items.clear();
  }

  MarkedText run(const Node& root) {
    execute(root);
    return std::move(out_);
  }

 private:
  Flow execute(const Node& node) {
    budget_.step();
    switch (node.kind) {
      case Kind::body:
        for (const NodePtr& child : node.children) {
          if (const Flow flow = execute(*child); flow != Flow::next) return flow;
        }
        return Flow::next;
      case Kind::text:
        write(*node.value.string);
        return Flow::next;
      case Kind::output:
        write(to_text(evaluate(*node.children[0]), budget_));
        return Flow::next;
      case Kind::if_else:
        return execute_if(node);
      case Kind::for_loop:
        return execute_for(node);
      case Kind::set:
        assign(node, evaluate(*node.children[0]));
        return Flow::next;
      case Kind::set_block: {
        MarkedText outer = std::exchange(out_, {});
        const Flow flow = execute(*node.children[0]);
        scopes_.back()[node.names[0]] = Value::of(std::exchange(out_, std::move(outer)));
        return flow;
      }
      case Kind::macro: {
        Value macro;
        macro.type = Type::macro;
        macro.macro = &node;
        scopes_.back()[node.text] = macro;
        return Flow::next;
      }
      case Kind::leave:
        return Flow::leave_loop;
      case Kind::next:
        return Flow::next_item;
      default:
        fail("an expression stands where a statement should");
    }
  }

  void write(const MarkedText& text) {
    budget_.bytes(text.size());
    out_.append(text);
    if (out_.size() > kMaxTextBytes) fail("it makes too much text");
  }

  Flow execute_if(const Node& node) {
    size_t at = 0;
    for (; at + 1 < node.children.size(); at += 2) {
      if (truth(evaluate(*node.children[at]))) return execute(*node.children[at + 1]);
    }
    return at < node.children.size() ? execute(*node.children[at]) : Flow::next;
  }

  Flow execute_for(const Node& node) {
    List items = items_of(evaluate(*node.children[0]), budget_);
    scopes_.emplace_back();
    if (node.children[1]) {
      std::erase_if(items, [&](const Value& item) {
        bind(node.names, item);
        return !truth(evaluate(*node.children[1]));
      });
    }
    Flow flow = Flow::next;
    for (size_t i = 0; i < items.size() && flow != Flow::leave_loop; ++i) {
      scopes_.back().clear();
      bind(node.names, items[i]);
      scopes_.back()["loop"] = loop_of(items, i);
      flow = execute(*node.children[2]);
    }
    scopes_.back().clear();
    if (items.empty() && node.children[3]) flow = execute(*node.children[3]);
    scopes_.pop_back();
    return items.empty() ? flow : Flow::next;
  }

  Value loop_of(const List& items, size_t i) const {
    auto loop = std::make_shared<Dict>();
    const auto at = static_cast<int64_t>(i);
    const auto count = static_cast<int64_t>(items.size());
    loop->set("index", Value::of(at + 1));
    loop->set("index0", Value::of(at));
    loop->set("revindex", Value::of(count - at));
    loop->set("revindex0", Value::of(count - at - 1));
    loop->set("first", Value::of(at == 0));
    loop->set("last", Value::of(at + 1 == count));
    loop->set("length", Value::of(count));
    loop->set("previtem", i > 0 ? items[i - 1] : Value::undefined("previtem"));
    loop->set("nextitem", i + 1 < items.size() ? items[i + 1] : Value::undefined("nextitem"));
    return Value::of(std::move(loop));
  }

  void bind(const std::vector<std::string>& names, const Value& value) {
    if (names.size() == 1) {
      scopes_.back()[names[0]] = value;
      return;
    }
    const List parts = items_of(value, budget_);
    if (parts.size() != names.size()) fail("a value cannot be unpacked into " + std::to_string(names.size()));
    for (size_t i = 0; i < names.size(); ++i) scopes_.back()[names[i]] = parts[i];
  }

  void assign(const Node& node, const Value& value) {
    if (!node.on_namespace) return bind(node.names, value);
    const Value target = look_up(node.names[0]);
    if (!target.is(Type::dict) || !target.dict->is_namespace) fail(node.names[0] + " is no namespace");
    target.dict->set(node.names[1], value);
  }

  Value look_up(const std::string& name) const {
    for (size_t i = scopes_.size(); i-- > 0;) {
      if (const auto found = scopes_[i].find(name); found != scopes_[i].end()) return found->second;
    }
    return Value::undefined(name);
  }

  Value evaluate(const Node& node) {
    budget_.step();
    switch (node.kind) {
      case Kind::constant:
        return node.value;
      case Kind::name:
        return look_up(node.text);
      case Kind::attribute:
        return attribute(evaluate(*node.children[0]), node.text, budget_);
      case Kind::item: {
        const Value object = evaluate(*node.children[0]);
        return subscript(object, evaluate(*node.children[1]), budget_);
      }
      case Kind::slice:
        return evaluate_slice(node);
      case Kind::call:
        return evaluate_call(node);
      case Kind::filter: {
        const Value value = evaluate(*node.children[0]);
        return apply_filter(node.text, value, arguments_of(node), budget_);
      }
      case Kind::test: {
        const Value value = evaluate(*node.children[0]);
        return Value::of(apply_test(node.text, value, arguments_of(node), budget_));
      }
      case Kind::unary:
        return evaluate_unary(node);
      case Kind::binary: {
        const Value left = evaluate(*node.children[0]);
        return combine(node.text, left, evaluate(*node.children[1]));
      }
      case Kind::compare: {
        const Value left = evaluate(*node.children[0]);
        return Value::of(evaluate_compare(node.text, left, evaluate(*node.children[1])));
      }
      case Kind::logic_and: {
        Value left = evaluate(*node.children[0]);
        return truth(left) ? evaluate(*node.children[1]) : left;
      }
      case Kind::logic_or: {
        Value left = evaluate(*node.children[0]);
        return truth(left) ? left : evaluate(*node.children[1]);
      }
      case Kind::conditional:
        if (truth(evaluate(*node.children[1]))) return evaluate(*node.children[0]);
        return node.children[2] ? evaluate(*node.children[2]) : Value::undefined("the other branch");
      case Kind::list: {
        List items;
        for (const NodePtr& child : node.children) items.push_back(evaluate(*child));
        return Value::of(std::move(items));
      }
      case Kind::dict: {
        auto dict = std::make_shared<Dict>();
        for (size_t i = 0; i < node.children.size(); i += 2) {
          const Value key = evaluate(*node.children[i]);
          dict->set(to_text(key, budget_).text, evaluate(*node.children[i + 1]));
        }
        return Value::of(std::move(dict));
      }
      default:
        fail("a statement stands where an expression should");
    }
  }

  Arguments arguments_of(const Node& node) {
    Arguments arguments;
    for (size_t i = 1; i < node.children.size(); ++i)
      arguments.positional.push_back(evaluate(*node.children[i]));
    for (const auto& [name, value] : node.keywords) arguments.named[name] = evaluate(*value);
    return arguments;
  }

  Value evaluate_call(const Node& node) {
    const Node& callee = *node.children[0];
    if (callee.kind == Kind::attribute) {
      const Value object = evaluate(*callee.children[0]);
      if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
      const Value* member = object.is(Type::dict) ? object.dict->find(callee.text) : nullptr;
      if (member == nullptr || !(member->is(Type::macro) || member->is(Type::function))) {
        return call_method(object, callee.text, arguments_of(node), budget_);
      }
    }
    const Value function = evaluate(callee);
    if (function.is(Type::macro)) return call_macro(*function.macro, arguments_of(node));
    if (!function.is(Type::function)) fail("'" + callee.text + "' is no function");
    Value result = call_function(function.function, arguments_of(node), budget_);
    if (result.is(Type::dict) && result.dict->is_namespace) namespaces_.push_back(result.dict);
    return result;
  }

  // A macro sees the template's own variables, not those of its caller.
  Value call_macro(const Node& macro, const Arguments& arguments) {
    if (++calls_ > kMaxCalls) fail("macros call each other too deeply");
    const size_t count = macro.names.size();
    const size_t defaults = macro.children.size() - 1;
    if (arguments.positional.size() > count) fail("the macro " + macro.text + " has too many arguments");
    Scope scope;
    for (size_t i = 0; i < count; ++i) {
      if (const Value* given = arguments.get(i, macro.names[i])) {
        scope[macro.names[i]] = *given;
      } else if (i + defaults >= count) {
        scope[macro.names[i]] = evaluate(*macro.children[1 + i + defaults - count]);
      } else {
        scope[macro.names[i]] = Value::undefined(macro.names[i]);
      }
    }
    std::vector<Scope> outer = std::exchange(scopes_, {});
    scopes_.push_back(std::move(outer[0]));
    scopes_.push_back(std::move(scope));
    MarkedText before = std::exchange(out_, {});
    execute(*macro.children[0]);
    MarkedText text = std::exchange(out_, std::move(before));
    outer[0] = std::move(scopes_[0]);
    scopes_ = std::move(outer);
    --calls_;
    return Value::of(std::move(text));
  }

  Value evaluate_unary(const Node& node) {
    Value value = evaluate(*node.children[0]);
    if (node.text == "not") return Value::of(!truth(value));
    if (!value.is_number()) fail("a sign before something that is no number");
    if (node.text == "+") return value;
    return value.is(Type::real) ? Value::of(-value.real) : combine("-", Value::of(int64_t{0}), value);
  }

  bool evaluate_compare(const std::string& operation, const Value& left, const Value& right) {
    if (operation == "==") return equal(left, right, budget_);
    if (operation == "!=") return !equal(left, right, budget_);
    if (operation == "in") return contains(right, left, budget_);
    if (operation == "not in") return !contains(right, left, budget_);
    const int order = compare(left, right, budget_);
    if (operation == "<") return order < 0;
    if (operation == ">") return order > 0;
    return operation == "<=" ? order <= 0 : order >= 0;
  }

  Value combine(const std::string& operation, const Value& left, const Value& right) {
    if (operation == "~") return joined(to_text(left, budget_), to_text(right, budget_));
    for (const Value* value : {&left, &right}) {
      if (value->is(Type::undefined)) fail("'" + value->name + "' is undefined");
    }
    if (operation == "+" && left.is(Type::string) && right.is(Type::string)) {
      return joined(*left.string, *right.string);
    }
    if (operation == "+" && left.is(Type::list) && right.is(Type::list)) {
      List items = items_of(left, budget_);
      const List more = items_of(right, budget_);
      if (static_cast<int64_t>(items.size() + more.size()) > kMaxListItems) fail("a list is too long");
      items.insert(items.end(), more.begin(), more.end());
      return Value::of(std::move(items));
    }
    if (operation == "*" && left.is(Type::string) && right.is(Type::integer))
      return repeated(left, right.integer);
    if (operation == "*" && right.is(Type::string) && left.is(Type::integer))
      return repeated(right, left.integer);
    if (!left.is_number() || !right.is_number()) fail("'" + operation + "' of values of these types");
    return arithmetic(operation, left, right);
  }

  Value joined(const MarkedText& left, const MarkedText& right) {
    budget_.bytes(left.size() + right.size());
    MarkedText text = left;
    text.append(right);
    return Value::of(std::move(text));
  }
  Value repeated(const Value& text, int64_t times) {
    MarkedText out;
    if (times > 0 && text.string->size() > 0) {
      if (times > static_cast<int64_t>(kMaxTextBytes / text.string->size())) fail("it makes too much text");
      budget_.bytes(text.string->size() * static_cast<size_t>(times));
      for (int64_t i = 0; i < times; ++i) out.append(*text.string);
    }
    return Value::of(std::move(out));
  }

  static Value arithmetic(const std::string& operation, const Value& left, const Value& right) {
    const bool divides = operation == "/" || operation == "//" || operation == "%";
    if (divides && right.number() == 0) fail("division by zero");
    if (operation == "/") return Value::of(left.number() / right.number());
    if (left.is(Type::real) || right.is(Type::real)) {
      const double a = left.number();
      const double b = right.number();
      if (operation == "+") return Value::of(a + b);
      if (operation == "-") return Value::of(a - b);
      if (operation == "*") return Value::of(a * b);
      if (operation == "//") return Value::of(std::floor(a / b));
      return Value::of(a - std::floor(a / b) * b);
    }
    const int64_t a = left.integer;
    const int64_t b = right.integer;
    int64_t result = 0;
    bool overflow = false;
    if (operation == "+") {
      overflow = __builtin_add_overflow(a, b, &result);
    } else if (operation == "-") {
      overflow = __builtin_sub_overflow(a, b, &result);
    } else if (operation == "*") {
      overflow = __builtin_mul_overflow(a, b, &result);
    } else if (b == -1) {
      overflow = operation == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      // Python rounds down, and the remainder takes the divisor's sign.
      const int64_t rest = a % b;
      const bool below = rest != 0 && (rest < 0) != (b < 0);
      result = operation == "//" ? a / b - (below ? 1 : 0) : rest + (below ? b : 0);
    }
    if (overflow) fail("a number is too large");
    return Value::of(result);
  }

  Value evaluate_slice(const Node& node) {
    const Value object = evaluate(*node.children[0]);
    if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
    if (!object.is(Type::list) && !object.is(Type::string)) fail("only lists and texts can be sliced");
    const int64_t size = length_of(object, budget_);
    const auto bound = [&](size_t child, int64_t fallback, int64_t low, int64_t high) {
      if (!node.children[child]) return fallback;
      const Value value = evaluate(*node.children[child]);
      if (value.is(Type::none)) return fallback;
      if (!value.is(Type::integer)) fail("a bound of a slice must be a whole number");
      const int64_t place = value.integer < 0 ? std::max(value.integer, -size - 1) + size : value.integer;
      return std::clamp(place, low, high);
    };
    int64_t step = 1;
    if (node.children[3]) {
      const Value value = evaluate(*node.children[3]);
      if (value.is(Type::integer)) step = std::clamp<int64_t>(value.integer, -size - 1, size + 1);
      if (step == 0) fail("a slice with a step of zero");
    }
    const int64_t begin = step > 0 ? bound(1, 0, 0, size) : bound(1, size - 1, -1, size - 1);
    const int64_t end = step > 0 ? bound(2, size, 0, size) : bound(2, -1, -1, size - 1);
    if (object.is(Type::string)) {
      budget_.bytes(object.string->size());
      const auto places = character_places(object.str());
      if (step == 1) {
        const auto from = places[static_cast<size_t>(begin)];
        const auto to = places[static_cast<size_t>(std::max(begin, end))];
        return Value::of(object.string->substr(from, to - from));
      }
      MarkedText out;
      for (int64_t at = begin; step > 0 ? at < end : at > end; at += step) {
        const auto place = static_cast<size_t>(at);
        out.append(object.string->substr(places[place], places[place + 1] - places[place]));
      }
      return Value::of(std::move(out));
    }
    List items;
    budget_.bytes(static_cast<size_t>(size) * sizeof(Value));
    for (int64_t at = begin; step > 0 ? at < end : at > end; at += step) {
      items.push_back((*object.list)[static_cast<size_t>(at)]);
    }
    return Value::of(std::move(items));
  }

  std::vector<Scope> scopes_;
  MarkedText out_;
  Budget budget_;
  int calls_ = 0;
  std::vector<std::shared_ptr<Dict>> namespaces_;
};

// Whether the iterable of a loop is the `content` of something, maybe filtered.
bool is_content(const Node& node) {
  if (node.kind == Kind::filter || node.kind == Kind::slice) return is_content(*node.children[0]);
  if (node.kind == Kind::attribute) return node.text == "content";
  if (node.kind == Kind::name) return node.text == "content";
  return node.kind == Kind::item && node.children[1]->kind == Kind::constant &&
         node.children[1]->value.is(Type::string) && node.children[1]->value.str() == "content";
}

bool has_content_loop(const Node& node) {
  if (node.kind == Kind::for_loop && is_content(*node.children[0])) return true;
  for (const NodePtr& child : node.children) {
    if (child && has_content_loop(*child)) return true;
  }
  return false;
}

}  // namespace
}  // namespace jinja

JinjaTemplate::JinjaTemplate(std::string_view source)
    : root_(jinja::parse(source)), loops_over_content_(jinja::has_content_loop(*root_)) {}
JinjaTemplate::~JinjaTemplate() = default;
JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;
JinjaTemplate& JinjaTemplate::operator=(JinjaTemplate&&) noexcept = default;

MarkedText JinjaTemplate::render(const jinja::Dict& variables) const {
  return jinja::Evaluator(variables).run(*root_);
}

}  // namespace uhd
