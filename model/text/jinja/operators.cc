#include "model/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "model/text/jinja/builtins.h"
#include "model/text/jinja/format.h"

namespace uhd::jinja {
namespace {

Value joined(const MarkedText& left, const MarkedText& right, Budget& budget) {
  budget.bytes(left.size() + right.size());
  MarkedText text = left;
  text.append(right);
  return Value::of(std::move(text));
}

// If one of two texts is escaped, the other becomes so.
Value joined_texts(const Value& left, const Value& right, Budget& budget) {
  if (!left.escaped && !right.escaped) return joined(*left.string, *right.string, budget);
  Value both = joined(*escaped(left, budget).string, *escaped(right, budget).string, budget);
  both.escaped = true;
  return both;
}

Value joined_lists(const Value& left, const Value& right, Budget& budget) {
  Value both = Value::of(items_of(left, budget));
  List items = *both.list;
  const List more = items_of(right, budget);
  if (static_cast<int64_t>(items.size() + more.size()) > kMaxListItems) fail("a list is too long");
  items.insert(items.end(), more.begin(), more.end());
  return left.is(Form::tuple) ? Value::tuple(std::move(items)) : Value::of(std::move(items));
}

Value repeated_text(const Value& text, int64_t times, Budget& budget) {
  MarkedText out;
  if (times > 0 && text.string->size() > 0) {
    if (times > static_cast<int64_t>(kMaxTextBytes / text.string->size())) fail("it makes too much text");
    budget.bytes(text.string->size() * static_cast<size_t>(times));
    for (int64_t i = 0; i < times; ++i) out.append(*text.string);
  }
  Value value = Value::of(std::move(out));
  value.escaped = text.escaped;
  return value;
}

Value repeated_list(const Value& list, int64_t times, Budget& budget) {
  List items;
  const auto size = static_cast<int64_t>(list.list->size());
  if (times > 0 && size > 0) {
    if (times > kMaxListItems / size) fail("a list is too long");
    budget.bytes(list.list->size() * static_cast<size_t>(times) * sizeof(Value));
    for (int64_t i = 0; i < times; ++i) items.insert(items.end(), list.list->begin(), list.list->end());
  }
  return list.is(Form::tuple) ? Value::tuple(std::move(items)) : Value::of(std::move(items));
}

bool is_fixed_list(const Value& value) { return value.is(Form::list) || value.is(Form::tuple); }

// Python rounds down, and the remainder takes the divisor's sign.
Value divided_reals(const std::string& operation, double a, double b) {
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (operation == "%") return Value::of(rest != 0 ? rest : std::copysign(0.0, b));
  double floor = std::floor(quotient);
  if (quotient - floor > 0.5) floor += 1;
  return Value::of(quotient != 0 ? floor : std::copysign(0.0, a / b));
}

Value real_arithmetic(const std::string& operation, double a, double b) {
  if (operation == "+") return Value::of(a + b);
  if (operation == "-") return Value::of(a - b);
  if (operation == "*") return Value::of(a * b);
  if (operation == "/") return Value::of(a / b);
  if (operation != "**") return divided_reals(operation, a, b);
  if (a == 0 && b < 0) fail("zero to a negative power");
  if (a < 0 && b != std::floor(b)) fail("a root of a negative number");
  const double power = std::pow(a, b);
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) fail("a number is too large");
  return Value::of(power);
}

Value whole_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return real_arithmetic("**", static_cast<double>(base), static_cast<double>(exponent));
  int64_t result = 1;
  if (base == 0 || base == 1 || base == -1) {
    return Value::of(exponent == 0 ? int64_t{1} : base == -1 && exponent % 2 == 0 ? int64_t{1} : base);
  }
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) fail("a number is too large");
  }
  return Value::of(result);
}

Value whole_arithmetic(const std::string& operation, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (operation == "**") return whole_power(a, b);
  if (operation == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (operation == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (operation == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (b == -1) {
    overflow = operation == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
  } else {
    const int64_t rest = a % b;
    const bool below = rest != 0 && (rest < 0) != (b < 0);
    result = operation == "//" ? a / b - (below ? 1 : 0) : rest + (below ? b : 0);
  }
  if (overflow) fail("a number is too large");
  return Value::of(result);
}

Value arithmetic(const std::string& operation, const Value& left, const Value& right) {
  const bool divides = operation == "/" || operation == "//" || operation == "%";
  if (divides && right.number() == 0) fail("division by zero");
  if (operation == "/" || left.is(Type::real) || right.is(Type::real)) {
    return real_arithmetic(operation, left.number(), right.number());
  }
  return whole_arithmetic(operation, left.integer, right.integer);
}

struct SubscriptRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t step = 1;
};

SubscriptRange range_of(const std::array<const Value*, 3>& bounds, int64_t size) {
  const auto given = [&](size_t i) { return bounds[i] != nullptr && !bounds[i]->is(Type::none); };
  for (size_t i = 0; i < 3; ++i) {
    if (given(i) && !bounds[i]->is_whole()) fail("a bound of a slice must be a whole number");
  }
  SubscriptRange range;
  if (given(2)) range.step = std::clamp<int64_t>(bounds[2]->integer, -size - 1, size + 1);
  if (range.step == 0) fail("a slice with a step of zero");
  const bool up = range.step > 0;
  const auto bound = [&](size_t i, int64_t fallback) {
    if (!given(i)) return fallback;
    const int64_t at = bounds[i]->integer;
    const int64_t place = at < 0 ? std::max(at, -size - 1) + size : at;
    return std::clamp<int64_t>(place, up ? 0 : -1, up ? size : size - 1);
  };
  range.begin = bound(0, up ? 0 : size - 1);
  range.end = bound(1, up ? size : -1);
  return range;
}

MarkedText slice_of_text(const MarkedText& text, const SubscriptRange& range) {
  const auto places = character_places(text.text);
  if (range.step == 1) {
    const auto from = places[static_cast<size_t>(range.begin)];
    return text.substr(from, places[static_cast<size_t>(std::max(range.begin, range.end))] - from);
  }
  MarkedText out;
  for (int64_t at = range.begin; range.step > 0 ? at < range.end : at > range.end; at += range.step) {
    const auto place = static_cast<size_t>(at);
    out.append(text.substr(places[place], places[place + 1] - places[place]));
  }
  return out;
}

}  // namespace

Value combine(const std::string& operation, const Value& left, const Value& right, Budget& budget) {
  if (operation == "~") return joined(to_text(left, budget), to_text(right, budget), budget);
  for (const Value* value : {&left, &right}) {
    if (value->is(Type::undefined)) fail("'" + value->name + "' is undefined");
  }
  if (operation == "+" && left.is(Type::string) && right.is(Type::string)) {
    return joined_texts(left, right, budget);
  }
  if (operation == "+" && is_fixed_list(left) && is_fixed_list(right) && left.form == right.form) {
    return joined_lists(left, right, budget);
  }
  if (operation == "%" && left.is(Type::string)) return Value::of(percent_format(left, right, budget));
  if (operation == "*") {
    if (left.is(Type::string) && right.is_whole()) return repeated_text(left, right.integer, budget);
    if (right.is(Type::string) && left.is_whole()) return repeated_text(right, left.integer, budget);
    if (is_fixed_list(left) && right.is_whole()) return repeated_list(left, right.integer, budget);
    if (is_fixed_list(right) && left.is_whole()) return repeated_list(right, left.integer, budget);
  }
  if (!left.is_number() || !right.is_number()) fail("'" + operation + "' of values of these types");
  return arithmetic(operation, left, right);
}

Value negated(const Value& value, Budget& budget) {
  if (!value.is_number()) fail("a sign before something that is no number");
  return value.is(Type::real) ? Value::of(-value.real) : combine("-", Value::of(int64_t{0}), value, budget);
}

bool compare_by(const std::string& operation, const Value& left, const Value& right, Budget& budget) {
  if (operation == "==") return equal(left, right, budget);
  if (operation == "!=") return !equal(left, right, budget);
  if (operation == "in") return contains(right, left, budget);
  if (operation == "not in") return !contains(right, left, budget);
  const int order = compare(left, right, budget);
  if (operation == "<") return order < 0;
  if (operation == ">") return order > 0;
  return operation == "<=" ? order <= 0 : order >= 0;
}

Value slice_of(const Value& object, const std::array<const Value*, 3>& bounds, Budget& budget) {
  if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
  // Jinja gives nothing for a value that has no places.
  if (object.is(Form::iterator) || object.is(Form::view)) return Value::undefined("a slice");
  if (!object.is(Type::list) && !object.is(Type::string)) return Value::undefined("a slice");
  const SubscriptRange range = range_of(bounds, length_of(object, budget));
  if (object.is(Type::string)) {
    budget.bytes(object.string->size());
    return Value::of(slice_of_text(*object.string, range));
  }
  List items;
  budget.bytes(object.list->size() * sizeof(Value));
  for (int64_t at = range.begin; range.step > 0 ? at < range.end : at > range.end; at += range.step) {
    items.push_back((*object.list)[static_cast<size_t>(at)]);
  }
  return object.is(Form::tuple) ? Value::tuple(std::move(items)) : Value::of(std::move(items));
}

Value escaped(const Value& value, Budget& budget) {
  if (value.escaped) return value;
  const MarkedText text = to_text(value, budget);
  MarkedText out;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t sign = std::string_view("&<>'\"").find(text.text[i]);
    constexpr std::array<std::string_view, 5> kEntities = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    out.append(sign < 5 ? kEntities[sign] : std::string_view(text.text).substr(i, 1), text.author(i));
  }
  budget.bytes(out.size());
  Value safe = Value::of(std::move(out));
  safe.escaped = true;
  return safe;
}

}  // namespace uhd::jinja
