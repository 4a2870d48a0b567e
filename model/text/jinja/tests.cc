// Implements the tests: `value is name(other)`.
#include <unordered_map>

#include "model/text/jinja/builtins.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/text.h"

namespace uhd::jinja {
namespace {

using Test = bool (*)(const Value&, const Arguments&, Budget&);

const Value& other_of(const Arguments& arguments) {
  const Value* value = arguments.get(0, "other");
  if (value == nullptr) fail("a test needs a value");
  return *value;
}
template <char first, char second = ' '>
bool by_sign(const Value& v, const Arguments& a, Budget& b) {
  return compare_by(second == ' ' ? std::string{first} : std::string{first, second}, v, other_of(a), b);
}
bool is_in(const Value& v, const Arguments& a, Budget& b) { return contains(other_of(a), v, b); }
bool is_same(const Value& v, const Arguments& a, Budget& b) {
  return v.type == other_of(a).type && equal(v, other_of(a), b);
}
bool is_iterable(const Value& v, const Arguments&, Budget&) {
  return v.is(Type::list) || v.is(Type::string) || v.is(DictKind::mapping) || v.is(DictKind::loop) ||
         v.is(Type::undefined);
}
bool is_sequence(const Value& v, const Arguments& a, Budget& b) {
  return is_iterable(v, a, b) && !v.is(Form::iterator) && !v.is(Form::view) && !v.is(DictKind::loop);
}
bool is_callable(const Value& v, const Arguments&, Budget&) {
  return v.is(Type::macro) || v.is(Type::function) || v.is(DictKind::joiner) || v.is(DictKind::loop);
}
bool is_divisible(const Value& v, const Arguments& a, Budget& b) {
  const Value* divisor = a.get(0, "num");
  if (divisor == nullptr) fail("divisibleby needs a number");
  return !truth(combine("%", v, *divisor, b));
}
bool has_remainder(const Value& v, int64_t rest, Budget& b) {
  return equal(combine("%", v, Value::of(int64_t{2}), b), Value::of(rest), b);
}
bool is_cased(const Value& v, const char* method, Budget& b) {
  return truth(text_method(Value::of(to_text(v, b)), method, {}, b));
}
bool is_name(const Value& v, bool (*known)(const std::string&)) {
  return v.is(Type::string) && known(v.str());
}

const std::unordered_map<std::string, Test>& tests() {
  static const std::unordered_map<std::string, Test> table = {
      {"defined", [](const Value& v, const Arguments&, Budget&) { return !v.is(Type::undefined); }},
      {"undefined", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::undefined); }},
      {"none", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::none); }},
      {"string", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::string); }},
      {"mapping", [](const Value& v, const Arguments&, Budget&) { return v.is(DictKind::mapping); }},
      {"number", [](const Value& v, const Arguments&, Budget&) { return v.is_number(); }},
      {"integer", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::integer); }},
      {"float", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::real); }},
      {"boolean", [](const Value& v, const Arguments&, Budget&) { return v.is(Type::boolean); }},
      {"true",
       [](const Value& v, const Arguments&, Budget&) { return v.is(Type::boolean) && v.integer != 0; }},
      {"false",
       [](const Value& v, const Arguments&, Budget&) { return v.is(Type::boolean) && v.integer == 0; }},
      {"escaped", [](const Value& v, const Arguments&, Budget&) { return v.escaped; }},
      {"odd", [](const Value& v, const Arguments&, Budget& b) { return has_remainder(v, 1, b); }},
      {"even", [](const Value& v, const Arguments&, Budget& b) { return has_remainder(v, 0, b); }},
      {"upper", [](const Value& v, const Arguments&, Budget& b) { return is_cased(v, "isupper", b); }},
      {"lower", [](const Value& v, const Arguments&, Budget& b) { return is_cased(v, "islower", b); }},
      {"filter", [](const Value& v, const Arguments&, Budget&) { return is_name(v, is_filter); }},
      {"test", [](const Value& v, const Arguments&, Budget&) { return is_name(v, is_test); }},
      {"iterable", is_iterable},
      {"sequence", is_sequence},
      {"callable", is_callable},
      {"divisibleby", is_divisible},
      {"sameas", is_same},
      {"in", is_in},
      {"eq", by_sign<'=', '='>},
      {"equalto", by_sign<'=', '='>},
      {"==", by_sign<'=', '='>},
      {"ne", by_sign<'!', '='>},
      {"!=", by_sign<'!', '='>},
      {"gt", by_sign<'>'>},
      {"greaterthan", by_sign<'>'>},
      {">", by_sign<'>'>},
      {"ge", by_sign<'>', '='>},
      {">=", by_sign<'>', '='>},
      {"lt", by_sign<'<'>},
      {"lessthan", by_sign<'<'>},
      {"<", by_sign<'<'>},
      {"le", by_sign<'<', '='>},
      {"<=", by_sign<'<', '='>},
  };
  return table;
}

}  // namespace

bool is_test(const std::string& name) { return tests().contains(name); }

bool apply_test(const std::string& name, const Value& v, const Arguments& arguments, Budget& budget) {
  const auto found = tests().find(name);
  if (found == tests().end()) fail("the test '" + name + "' is not supported");
  return found->second(v, arguments, budget);
}

}  // namespace uhd::jinja
