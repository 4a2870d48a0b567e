#include "model/text/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/utf8.h"
#include "model/text/unicode.h"

namespace uhd::jinja {
namespace {

constexpr int kDeepestValue = 64;

// The shortest digits that give the number back, and the place of the decimal point before them.
std::pair<std::string, int> shortest_digits(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string text(buffer, end);
  const size_t exponent = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, exponent)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  return {digits, std::stoi(text.substr(exponent + 1)) + 1};
}

// Returns true if Python's repr writes the character as an escape.
bool is_unprintable(uint32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa1) || c == 0xad) return true;
  if (c < 0x80) return false;
  return is_space(c) || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe000 && c <= 0xf8ff);
}

std::string repr_escape(uint32_t c) {
  const size_t named = std::string_view("\n\r\t").find(static_cast<char>(c));
  if (c < 0x80 && named != std::string_view::npos) return std::string("\\") + "nrt"[named];
  char buffer[16];
  std::snprintf(buffer, sizeof(buffer), c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
  return buffer;
}

// Appends Python's repr of a text.
void append_repr(const MarkedText& text, MarkedText& out) {
  const bool twice = text.text.find('\'') != std::string::npos && text.text.find('"') == std::string::npos;
  const char quote = twice ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = utf8_at(text.text, i);
    const Author author = text.author(i) == kTemplateWrote ? kTemplateWrote : kUserQuoted;
    if (is_unprintable(c.value)) {
      out.append(repr_escape(c.value), author);
    } else {
      if (c.value == '\\' || c.value == static_cast<uint32_t>(quote)) out.append("\\", author);
      out.append(std::string_view(text.text).substr(i, c.bytes), author);
    }
    i += c.bytes;
  }
  out.append(std::string_view(&quote, 1));
}

void append_text(const Value& value, bool repr, MarkedText& out, Budget& budget, int depth);

void append_list(const Value& value, MarkedText& out, Budget& budget, int depth) {
  if (value.is(Form::iterator)) fail("what a filter goes through one by one cannot be written as text");
  if (value.is(Form::range)) return out.append(value.name);
  const bool tuple = value.is(Form::tuple);
  if (value.is(Form::view)) out.append(value.name + "(");
  out.append(tuple ? "(" : "[");
  const char* comma = "";
  for (const Value& item : *value.list) {
    out.append(comma);
    append_text(item, true, out, budget, depth + 1);
    comma = ", ";
  }
  if (tuple && value.list->size() == 1) out.append(",");
  out.append(tuple ? ")" : "]");
  if (value.is(Form::view)) out.append(")");
}

void append_dict(const Dict& dict, MarkedText& out, Budget& budget, int depth) {
  const bool name_space = dict.kind == DictKind::name_space;
  if (!name_space && dict.kind != DictKind::mapping)
    fail("a loop, joiner or cycler cannot be written as text");
  out.append(name_space ? "<Namespace {" : "{");
  const char* comma = "";
  for (const auto& [key, item] : dict.items) {
    out.append(comma);
    append_text(key, true, out, budget, depth + 1);
    out.append(": ");
    append_text(item, true, out, budget, depth + 1);
    comma = ", ";
  }
  out.append(name_space ? "}>" : "}");
}

void append_text(const Value& value, bool repr, MarkedText& out, Budget& budget, int depth) {
  budget.step();
  if (depth > kDeepestValue) fail("a value is nested too deeply");
  switch (value.type) {
    case Type::undefined:
      return repr ? out.append("Undefined") : void();
    case Type::none:
      return out.append("None");
    case Type::boolean:
      return out.append(value.integer != 0 ? "True" : "False");
    case Type::integer:
      return out.append(std::to_string(value.integer));
    case Type::real:
      return out.append(real_text(value.real));
    case Type::string:
      budget.bytes(value.string->size());
      return repr ? append_repr(*value.string, out) : out.append(*value.string);
    case Type::list:
      return append_list(value, out, budget, depth);
    case Type::dict:
      return append_dict(*value.dict, out, budget, depth);
    default:
      fail("a function cannot be written as text");
  }
}

// Python hashes only values that cannot change.
bool can_be_key(const Value& key) {
  if (key.is(Type::list))
    return key.is(Form::tuple) && std::all_of(key.list->begin(), key.list->end(), can_be_key);
  return !key.is(Type::dict);
}

bool same_key(const Value& a, const Value& b) {
  if (a.is(Type::string) && b.is(Type::string)) return a.str() == b.str();
  Budget budget;
  return equal(a, b, budget);
}

template <class Values>
int compare_lists(const Values& a, const Values& b, Budget& budget, int depth) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(a[i], b[i], budget, depth + 1)) return compare(a[i], b[i], budget, depth + 1);
  }
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

}  // namespace

void fail(const std::string& message) { throw Error("chat template: " + message); }

const Value* Dict::find(std::string_view key) const {
  was_read = was_read || (!watched.empty() && key == watched);
  for (const auto& [name, value] : items) {
    if (name.is(Type::string) && name.str() == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is(Type::string)) return find(std::string_view(key.str()));
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const auto& one) { return same_key(one.first, key); });
  return found == items.end() ? nullptr : &found->second;
}

void Dict::set(std::string_view key, Value value) { set(Value::text(key), std::move(value)); }

void Dict::set(const Value& key, Value value) {
  if (!can_be_key(key)) fail("a list or a mapping cannot be a key");
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const auto& one) { return same_key(one.first, key); });
  if (found == items.end()) {
    items.emplace_back(key, std::move(value));
  } else {
    found->second = std::move(value);
  }
}

Value Value::undefined(std::string name) {
  Value v;
  v.name = std::move(name);
  return v;
}
Value Value::none() {
  Value v;
  v.type = Type::none;
  return v;
}
Value Value::of(bool value) {
  Value v;
  v.type = Type::boolean;
  v.integer = value ? 1 : 0;
  return v;
}
Value Value::of(int64_t value) {
  Value v;
  v.type = Type::integer;
  v.integer = value;
  return v;
}
Value Value::of(double value) {
  Value v;
  v.type = Type::real;
  v.real = value;
  return v;
}
Value Value::of(MarkedText value) {
  Value v;
  v.type = Type::string;
  v.string = std::make_shared<const MarkedText>(std::move(value));
  return v;
}
Value Value::of(List value) {
  Value v;
  v.type = Type::list;
  v.list = std::make_shared<const List>(std::move(value));
  return v;
}
Value Value::tuple(List value) {
  Value v = of(std::move(value));
  v.form = Form::tuple;
  return v;
}
Value Value::iterator(List value) {
  Value v = of(std::move(value));
  v.form = Form::iterator;
  v.spent = std::make_shared<bool>(false);
  return v;
}
Value Value::of(std::shared_ptr<Dict> value) {
  Value v;
  v.type = Type::dict;
  v.dict = std::move(value);
  return v;
}
Value Value::of(Function value) {
  Value v;
  v.type = Type::function;
  v.function = value;
  return v;
}
Value Value::bound_method(const Value& object, std::string name) {
  Value v = object;
  v.integer = static_cast<int64_t>(object.type);
  v.type = Type::function;
  v.function = Function::bound_method;
  v.name = std::move(name);
  return v;
}

void Budget::step() {
  if (--steps_ < 0) fail("it takes too many steps");
}
void Budget::bytes(size_t count) {
  if (count > kMaxTextBytes || (bytes_ -= static_cast<int64_t>(count)) < 0) fail("it makes too much text");
}

bool truth(const Value& value) {
  switch (value.type) {
    case Type::undefined:
    case Type::none:
      return false;
    case Type::boolean:
    case Type::integer:
      return value.integer != 0;
    case Type::real:
      return value.real != 0;
    case Type::string:
      return value.string->size() > 0;
    case Type::list:
      return value.is(Form::iterator) || !value.list->empty();
    case Type::dict:
      return value.dict->kind != DictKind::mapping || !value.dict->items.empty();
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b, Budget& budget, int depth) {
  budget.step();
  if (depth > kDeepestValue) fail("a value is nested too deeply");
  if (a.is_number() && b.is_number()) {
    return a.is(Type::real) || b.is(Type::real) ? a.number() == b.number() : a.integer == b.integer;
  }
  if (a.type != b.type) return false;
  switch (a.type) {
    case Type::string:
      budget.bytes(std::min(a.string->size(), b.string->size()));
      return a.str() == b.str();
    case Type::list:
      if (a.form != b.form || a.list->size() != b.list->size()) return false;
      if (a.is(Form::iterator)) return a.spent == b.spent;
      for (size_t i = 0; i < a.list->size(); ++i) {
        if (!equal((*a.list)[i], (*b.list)[i], budget, depth + 1)) return false;
      }
      return true;
    case Type::dict:
      if (a.dict == b.dict) return true;
      if (a.dict->kind != DictKind::mapping || b.dict->kind != DictKind::mapping) return false;
      if (a.dict->items.size() != b.dict->items.size()) return false;
      for (const auto& [key, value] : a.dict->items) {
        const Value* other = b.dict->find(key);
        if (other == nullptr || !equal(value, *other, budget, depth + 1)) return false;
      }
      return true;
    case Type::macro:
      return a.macro == b.macro;
    case Type::function:
      return a.function == b.function;
    default:
      return true;
  }
}

int compare(const Value& a, const Value& b, Budget& budget, int depth) {
  budget.step();
  if (depth > kDeepestValue) fail("a value is nested too deeply");
  if (a.is_whole() && b.is_whole()) return a.integer < b.integer ? -1 : a.integer > b.integer ? 1 : 0;
  if (a.is_number() && b.is_number()) {
    return a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
  }
  if ((a.is(Form::list) && b.is(Form::list)) || (a.is(Form::tuple) && b.is(Form::tuple))) {
    return compare_lists(*a.list, *b.list, budget, depth);
  }
  if (!a.is(Type::string) || !b.is(Type::string)) fail("values of these types have no order");
  budget.bytes(std::min(a.string->size(), b.string->size()));
  const int order = a.str().compare(b.str());
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

MarkedText to_text(const Value& value, Budget& budget) {
  MarkedText out;
  append_text(value, false, out, budget, 0);
  return out;
}

MarkedText to_repr(const Value& value, Budget& budget) {
  MarkedText out;
  append_text(value, true, out, budget, 0);
  return out;
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  auto [digits, point] = shortest_digits(std::abs(value));
  const char* sign = std::signbit(value) ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  if (value != 0 && (point <= -4 || point > 16)) {
    const int exponent = point - 1;
    const std::string_view rest = std::string_view(digits).substr(1);
    return message(sign, digits[0], rest.empty() ? "" : ".", rest, exponent < 0 ? "e-" : "e+",
                   std::abs(exponent) < 10 ? "0" : "", std::abs(exponent));
  }
  if (point <= 0) return message(sign, "0.", std::string(static_cast<size_t>(-point), '0'), digits);
  digits.resize(static_cast<size_t>(std::max(count, point + 1)), '0');
  const auto whole = static_cast<size_t>(point);
  return message(sign, digits.substr(0, whole), ".", digits.substr(whole));
}

std::vector<size_t> character_places(std::string_view text) {
  std::vector<size_t> places;
  for (size_t at = 0; at < text.size(); at += std::max<size_t>(1, utf8_length(text, at)))
    places.push_back(at);
  places.push_back(text.size());
  return places;
}

List items_of(const Value& value, Budget& budget) {
  List items;
  switch (value.type) {
    case Type::list:
      budget.bytes(value.list->size() * sizeof(Value));
      if (value.is(Form::iterator) && std::exchange(*value.spent, true)) return items;
      return *value.list;
    case Type::dict:
      if (value.dict->kind != DictKind::mapping) fail("a namespace cannot be iterated");
      for (const auto& [key, item] : value.dict->items) items.push_back(key);
      return items;
    case Type::string: {
      budget.bytes(value.string->size() * 256);
      const auto places = character_places(value.str());
      for (size_t i = 0; i + 1 < places.size(); ++i) {
        items.push_back(Value::of(value.string->substr(places[i], places[i + 1] - places[i])));
      }
      return items;
    }
    case Type::undefined:
      return items;
    default:
      fail("a value that is neither list, mapping nor text cannot be iterated");
  }
}

int64_t length_of(const Value& value, Budget& budget) {
  if (value.is(Form::iterator)) fail("what a filter goes through one by one has no length");
  if (value.is(Type::list)) return static_cast<int64_t>(value.list->size());
  if (value.is(DictKind::mapping)) return static_cast<int64_t>(value.dict->items.size());
  if (value.is(Type::undefined)) return 0;
  if (!value.is(Type::string)) fail("length of a value that has none");
  budget.bytes(value.string->size());
  return static_cast<int64_t>(count_characters(value.str()));
}

}  // namespace uhd::jinja
