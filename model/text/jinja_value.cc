#include "model/text/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "model/text/utf8.h"

namespace uhd::jinja {
namespace {

constexpr int kMaxDepth = 64;

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// Python's repr of a text.
void append_repr(const MarkedText& text, MarkedText& out) {
  const bool twice = text.text.find('\'') != std::string::npos && text.text.find('"') == std::string::npos;
  const char quote = twice ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.text[i];
    const bool typed = text.typed[i] != 0;
    if (c == '\n') {
      out.append("\\n", typed);
    } else if (c == '\r') {
      out.append("\\r", typed);
    } else if (c == '\t') {
      out.append("\\t", typed);
    } else {
      if (c == '\\' || c == quote) out.append("\\", typed);
      out.append(std::string_view(&c, 1), typed);
    }
  }
  out.append(std::string_view(&quote, 1));
}

void append_text(const Value& value, bool repr, MarkedText& out, Budget& budget, int depth) {
  budget.step();
  if (depth > kMaxDepth) fail("a value is nested too deeply");
  switch (value.type) {
    case Type::undefined:
      return;
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
    case Type::list: {
      out.append("[");
      const char* comma = "";
      for (const Value& item : *value.list) {
        out.append(comma);
        append_text(item, true, out, budget, depth + 1);
        comma = ", ";
      }
      return out.append("]");
    }
    case Type::dict: {
      out.append("{");
      const char* comma = "";
      for (const auto& [key, item] : value.dict->items) {
        out.append(comma);
        append_repr(MarkedText(key), out);
        out.append(": ");
        append_text(item, true, out, budget, depth + 1);
        comma = ", ";
      }
      return out.append("}");
    }
    default:
      fail("a function cannot be written as text");
  }
}

void append_json_text(const MarkedText& text, MarkedText& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  out.append("\"");
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.text[i];
    const bool typed = text.typed[i] != 0;
    const size_t named = std::string_view("\"\\\n\r\t\b\f").find(c);
    if (named != std::string_view::npos) {
      const char escape[2] = {'\\', "\"\\nrtbf"[named]};
      out.append(std::string_view(escape, 2), typed);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      const char escape[6] = {'\\', 'u', '0', '0', kDigits[c >> 4], kDigits[c & 15]};
      out.append(std::string_view(escape, 6), typed);
    } else {
      out.append(std::string_view(&c, 1), typed);
    }
  }
  out.append("\"");
}

struct JsonWriter {
  int64_t indent;
  Budget& budget;
  MarkedText out;

  void line(int depth) {
    if (indent < 0) return;
    out.append("\n");
    out.append(std::string(static_cast<size_t>(indent * depth), ' '));
  }
  void write(const Value& value, int depth) {
    budget.step();
    if (depth > kMaxDepth) fail("a value is nested too deeply");
    switch (value.type) {
      case Type::none:
        return out.append("null");
      case Type::boolean:
        return out.append(value.integer != 0 ? "true" : "false");
      case Type::integer:
      case Type::real:
        return out.append(to_text(value, budget));
      case Type::string:
        budget.bytes(value.string->size());
        return append_json_text(*value.string, out);
      case Type::list:
        return sequence('[', ']', value.list->size(), depth,
                        [&](size_t i) { write((*value.list)[i], depth + 1); });
      case Type::dict:
        return sequence('{', '}', value.dict->items.size(), depth, [&](size_t i) {
          append_json_text(MarkedText(value.dict->items[i].first), out);
          out.append(": ");
          write(value.dict->items[i].second, depth + 1);
        });
      default:
        fail("tojson of something undefined");
    }
  }
  template <class Item>
  void sequence(char open, char close, size_t count, int depth, Item item) {
    out.append(std::string_view(&open, 1));
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out.append(indent < 0 ? ", " : ",");
      line(depth + 1);
      item(i);
    }
    if (count > 0) line(depth);
    out.append(std::string_view(&close, 1));
  }
};

}  // namespace

void fail(const std::string& message) { throw Error("chat template: " + message); }

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Dict::set(std::string_view key, Value value) {
  for (auto& [name, old] : items) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(std::string(key), std::move(value));
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
      return !value.list->empty();
    case Type::dict:
      return value.dict->is_namespace || !value.dict->items.empty();
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b, Budget& budget, int depth) {
  budget.step();
  if (depth > kMaxDepth) fail("a value is nested too deeply");
  if (a.is_number() && b.is_number()) {
    return a.is(Type::real) || b.is(Type::real) ? a.number() == b.number() : a.integer == b.integer;
  }
  if (a.type != b.type) return false;
  switch (a.type) {
    case Type::string:
      budget.bytes(std::min(a.string->size(), b.string->size()));
      return a.str() == b.str();
    case Type::list:
      if (a.list->size() != b.list->size()) return false;
      for (size_t i = 0; i < a.list->size(); ++i) {
        if (!equal((*a.list)[i], (*b.list)[i], budget, depth + 1)) return false;
      }
      return true;
    case Type::dict:
      if (a.dict == b.dict) return true;
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

int compare(const Value& a, const Value& b, Budget& budget) {
  if (a.is_number() && b.is_number()) {
    return a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
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

MarkedText to_json(const Value& value, int64_t indent, Budget& budget) {
  if (indent > 16) fail("tojson with an indent above 16");
  JsonWriter writer{indent, budget, {}};
  writer.write(value, 0);
  return std::move(writer.out);
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
      return *value.list;
    case Type::dict:
      for (const auto& [key, item] : value.dict->items) items.push_back(Value::text(key));
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
  if (value.is(Type::list)) return static_cast<int64_t>(value.list->size());
  if (value.is(Type::dict)) return static_cast<int64_t>(value.dict->items.size());
  if (value.is(Type::undefined)) return 0;
  if (!value.is(Type::string)) fail("length of a value that has none");
  budget.bytes(value.string->size());
  return static_cast<int64_t>(std::count_if(value.str().begin(), value.str().end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace uhd::jinja
