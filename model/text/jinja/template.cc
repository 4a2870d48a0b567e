#include "model/text/jinja/template.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "base/error.h"
#include "model/text/jinja/ast.h"
#include "model/text/jinja/builtins.h"
#include "model/text/jinja/names.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/parser.h"

namespace uhd {
namespace jinja {

using Scope = std::map<std::string, Value, std::less<>>;

// The variables around a macro, but for the template's own: those of loops and macros that it stands in.
struct Closure {
  std::vector<Scope> scopes;
};

namespace {

constexpr int kMaxCalls = 20;

enum class Flow : uint8_t { next, leave_loop, next_item };

// A Running is a loop that runs: recursive ones call it, and `changed` remembers the values it was given.
struct Running {
  const Node& node;
  std::shared_ptr<Dict> object;
  size_t scopes;
  int depth;
  Value changed;
};

class Evaluator {
 public:
  explicit Evaluator(const Dict& variables) {
    Scope& globals = scopes_.emplace_back();
    for (const char* name :
         {"range", "namespace", "dict", "joiner", "cycler", "raise_exception", "strftime_now"})
      globals[name] = Value::of(*function_of(name));
    for (const auto& [name, value] : variables.items) globals[name.str()] = value;
  }
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;
  // A namespace can hold itself, so its contents are let go here.
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
        return execute_for(node, evaluate(*node.children[0]), 1);
      case Kind::set:
        assign(node, evaluate(*node.children[0]));
        return Flow::next;
      case Kind::macro:
        scopes_.back()[node.text] = macro_of(node);
        return Flow::next;
      case Kind::call_block:
        write(to_text(evaluate_call(*node.children[0], macro_of(*node.children[1])), budget_));
        return Flow::next;
      case Kind::with:
        return execute_with(node);
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

  Flow execute_with(const Node& node) {
    Scope scope;
    for (size_t i = 0; i < node.names.size(); ++i) scope[node.names[i]] = evaluate(*node.children[i]);
    scopes_.push_back(std::move(scope));
    const Flow flow = execute(*node.children.back());
    scopes_.pop_back();
    return flow;
  }

  Flow execute_for(const Node& node, const Value& iterable, int depth) {
    List items = items_of(iterable, budget_);
    scopes_.emplace_back();
    if (node.children[1]) keep_chosen(node, items);
    Flow flow = Flow::next;
    running_.push_back({node, std::make_shared<Dict>(), scopes_.size() - 1, depth, Value::undefined("")});
    const std::shared_ptr<Dict> object = running_.back().object;
    for (size_t i = 0; i < items.size() && flow != Flow::leave_loop; ++i) {
      scopes_.back().clear();
      bind(*node.target, items[i]);
      place_loop(*object, items, i, depth);
      scopes_.back()["loop"] = Value::of(object);
      flow = execute(*node.children[2]);
    }
    running_.pop_back();
    object->items.clear();
    scopes_.back().clear();
    if (items.empty() && node.children[3]) flow = execute(*node.children[3]);
    scopes_.pop_back();
    return items.empty() ? flow : Flow::next;
  }

  void keep_chosen(const Node& node, List& items) {
    std::erase_if(items, [&](const Value& item) {
      scopes_.back().clear();
      bind(*node.target, item);
      return !truth(evaluate(*node.children[1]));
    });
  }

  void bind(const Node& target, const Value& value) {
    if (target.kind == Kind::name) {
      scopes_.back()[target.text] = value;
      return;
    }
    const List parts = items_of(value, budget_);
    const size_t count = target.children.size();
    if (parts.size() != count) fail("a value cannot be unpacked into " + std::to_string(count));
    for (size_t i = 0; i < count; ++i) bind(*target.children[i], parts[i]);
  }

  void assign(const Node& node, const Value& value) {
    if (!node.on_namespace) return bind(*node.target, value);
    const Value target = look_up(node.names[0]);
    if (!target.is(DictKind::name_space)) fail(node.names[0] + " is no namespace");
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
        return evaluate_call(node, Value::undefined("caller"));
      case Kind::filter: {
        const Value value = evaluate(*node.children[0]);
        return apply_filter(node.text, value, arguments_of(node), budget_);
      }
      case Kind::test: {
        const Value value = evaluate(*node.children[0]);
        return Value::of(apply_test(node.text, value, arguments_of(node), budget_));
      }
      case Kind::captured:
        return Value::of(captured(*node.children[0]));
      default:
        return evaluate_operation(node);
    }
  }

  Value evaluate_operation(const Node& node) {
    switch (node.kind) {
      case Kind::unary:
        return evaluate_unary(node);
      case Kind::binary: {
        const Value left = evaluate(*node.children[0]);
        return combine(node.text, left, evaluate(*node.children[1]), budget_);
      }
      case Kind::compare:
        return evaluate_compare(node);
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
      case Kind::list:
        return Value::of(values_of(node));
      case Kind::tuple:
        return Value::tuple(values_of(node));
      case Kind::dict:
        return evaluate_dict(node);
      default:
        fail("a statement stands where an expression should");
    }
  }

  List values_of(const Node& node) {
    List items;
    for (const NodePtr& child : node.children) items.push_back(evaluate(*child));
    return items;
  }

  Value evaluate_dict(const Node& node) {
    auto dict = std::make_shared<Dict>();
    for (size_t i = 0; i < node.children.size(); i += 2) {
      const Value key = evaluate(*node.children[i]);
      dict->set(key, evaluate(*node.children[i + 1]));
    }
    return Value::of(std::move(dict));
  }

  Arguments arguments_of(const Node& node) {
    Arguments arguments;
    for (size_t i = 1; i < node.children.size(); ++i)
      arguments.positional.push_back(evaluate(*node.children[i]));
    for (const auto& [name, expression] : node.keywords) {
      const Value value = evaluate(*expression);
      if (name == "*") {
        for (const Value& item : items_of(value, budget_)) arguments.positional.push_back(item);
      } else if (name == "**") {
        if (!value.is(DictKind::mapping)) fail("** needs a mapping");
        for (const auto& [key, item] : value.dict->items)
          arguments.named.emplace_back(to_text(key, budget_).text, item);
      } else {
        arguments.named.emplace_back(name, value);
      }
    }
    return arguments;
  }

  Value evaluate_call(const Node& node, const Value& caller) {
    const Node& callee = *node.children[0];
    const Value function = evaluate(callee);
    const Arguments arguments = arguments_of(node);
    if (function.is(Type::macro)) return call_macro(function, arguments, caller);
    if (function.is(DictKind::joiner)) return call_joiner(*function.dict);
    if (function.is(DictKind::loop)) return call_loop(function, arguments);
    if (!function.is(Type::function)) fail("'" + callee.text + "' is no function");
    if (function.function == Function::bound_method) return call_bound(function, arguments);
    Value result = call_function(function.function, arguments, budget_);
    if (result.is(Type::dict) && !result.is(DictKind::mapping)) namespaces_.push_back(result.dict);
    return result;
  }

  Value call_bound(const Value& method, const Arguments& arguments) {
    Value object = method;
    object.type = static_cast<Type>(method.integer);
    if (!object.is(DictKind::loop) || method.name != "changed") {
      return call_method(object, method.name, arguments, budget_);
    }
    Running& loop = running(object);
    const Value given = Value::tuple(arguments.positional);
    const bool changed = !equal(given, loop.changed, budget_);
    loop.changed = given;
    return Value::of(changed);
  }

  Running& running(const Value& object) {
    for (Running& one : running_) {
      if (one.object == object.dict) return one;
    }
    fail("a loop is used after its end");
  }

  // loop(items) of a recursive loop: the text of its body for other items.
  Value call_loop(const Value& object, const Arguments& arguments) {
    const Running& loop = running(object);
    const Node& node = loop.node;
    const int depth = loop.depth + 1;
    if (!node.recursive) fail("a loop that is not recursive is called");
    if (arguments.positional.size() != 1) fail("a loop is called with one list");
    std::vector<Scope> inner(
        std::make_move_iterator(scopes_.begin() + static_cast<std::ptrdiff_t>(loop.scopes)),
        std::make_move_iterator(scopes_.end()));
    scopes_.resize(loop.scopes);
    Value text = in_call([&] { execute_for(node, arguments.positional[0], depth); });
    std::move(inner.begin(), inner.end(), std::back_inserter(scopes_));
    return text;
  }

  template <class Body>
  Value in_call(Body body) {
    if (++calls_ > kMaxCalls) fail("macros call each other too deeply");
    MarkedText before = std::exchange(out_, {});
    body();
    --calls_;
    return Value::of(std::exchange(out_, std::move(before)));
  }

  MarkedText captured(const Node& body) {
    MarkedText outer = std::exchange(out_, {});
    execute(body);
    return std::exchange(out_, std::move(outer));
  }

  Value macro_of(const Node& node) const {
    Value macro;
    macro.type = Type::macro;
    macro.macro = &node;
    if (scopes_.size() > 1) {
      macro.closure = std::make_shared<Closure>(Closure{{scopes_.begin() + 1, scopes_.end()}});
    }
    return macro;
  }

  // A macro sees the template's own variables and those around it, not those of its caller.
  Value call_macro(const Value& function, const Arguments& arguments, const Value& caller) {
    const Node& macro = *function.macro;
    std::vector<Scope> outer = std::exchange(scopes_, {});
    scopes_.push_back(std::move(outer[0]));
    if (function.closure) {
      scopes_.insert(scopes_.end(), function.closure->scopes.begin(), function.closure->scopes.end());
    }
    scopes_.emplace_back();
    bind_arguments(macro, arguments);
    if (!caller.is(Type::undefined)) scopes_.back()["caller"] = caller;
    Value text = in_call([&] { execute(*macro.children[0]); });
    outer[0] = std::move(scopes_[0]);
    scopes_ = std::move(outer);
    return text;
  }

  void bind_arguments(const Node& macro, const Arguments& arguments) {
    const size_t count = macro.names.size();
    const size_t defaults = macro.children.size() - 1;
    for (size_t i = 0; i < count; ++i) {
      const std::string& name = macro.names[i];
      if (const Value* given = arguments.get(i, name)) {
        scopes_.back()[name] = *given;
      } else if (i + defaults >= count) {
        scopes_.back()[name] = evaluate(*macro.children[1 + i + defaults - count]);
      } else {
        scopes_.back()[name] = Value::undefined(name);
      }
    }
    bind_more(macro, arguments, count);
  }

  // varargs and kwargs, for macros that read them.
  void bind_more(const Node& macro, const Arguments& arguments, size_t count) {
    const bool takes_more = reads_name(*macro.children[0], "varargs");
    const bool takes_names = reads_name(*macro.children[0], "kwargs");
    const bool more = arguments.positional.size() > count;
    if (more && !takes_more) fail("the macro " + macro.text + " has too many arguments");
    if (takes_more) scopes_.back()["varargs"] = Value::tuple(arguments.from(count).positional);
    auto names = std::make_shared<Dict>();
    for (const auto& [name, value] : arguments.named) {
      if (std::find(macro.names.begin(), macro.names.end(), name) == macro.names.end())
        names->set(name, value);
    }
    if (!names->items.empty() && !takes_names)
      fail("the macro " + macro.text + " has no argument " + names->items[0].first.str());
    if (takes_names) scopes_.back()["kwargs"] = Value::of(std::move(names));
  }

  Value evaluate_unary(const Node& node) {
    Value value = evaluate(*node.children[0]);
    if (node.text == "not") return Value::of(!truth(value));
    const Value minus = negated(value, budget_);
    return node.text == "-" ? minus : value;
  }

  // a < b < c is a < b and b < c, with b evaluated once.
  Value evaluate_compare(const Node& node) {
    Value left = evaluate(*node.children[0]);
    for (size_t i = 0; i < node.names.size(); ++i) {
      Value right = evaluate(*node.children[i + 1]);
      if (!compare_by(node.names[i], left, right, budget_)) return Value::of(false);
      left = std::move(right);
    }
    return Value::of(true);
  }

  Value evaluate_slice(const Node& node) {
    const Value object = evaluate(*node.children[0]);
    std::array<Value, 3> values;
    std::array<const Value*, 3> bounds{};
    for (size_t i = 0; i < 3; ++i) {
      if (!node.children[i + 1]) continue;
      values[i] = evaluate(*node.children[i + 1]);
      bounds[i] = &values[i];
    }
    return slice_of(object, bounds, budget_);
  }

  std::vector<Scope> scopes_;
  std::vector<Running> running_;
  MarkedText out_;
  Budget budget_;
  int calls_ = 0;
  std::vector<std::shared_ptr<Dict>> namespaces_;
};

}  // namespace
}  // namespace jinja

JinjaTemplate::JinjaTemplate(std::string_view source) : root_(jinja::parse(source)) {
  jinja::check_names(*root_);
}
JinjaTemplate::~JinjaTemplate() = default;
JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;
JinjaTemplate& JinjaTemplate::operator=(JinjaTemplate&&) noexcept = default;

std::set<std::string, std::less<>> JinjaTemplate::free_names() const { return jinja::free_names(*root_); }

MarkedText JinjaTemplate::render(const jinja::Dict& variables) const {
  return jinja::Evaluator(variables).run(*root_);
}

}  // namespace uhd
