#include "model/text/jinja/json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"

namespace uhd::jinja {
namespace {

constexpr int kMaxDepth = 64;

std::string unicode_escape(uint32_t unit) {
  char buffer[16];
  std::snprintf(buffer, sizeof(buffer), "\\u%04x", unit);
  return buffer;
}

std::string json_escape(uint32_t c, bool ascii) {
  const size_t named = c < 0x80 ? std::string_view("\"\\\n\r\t\b\f").find(static_cast<char>(c)) : 7;
  if (named < 7) return {'\\', "\"\\nrtbf"[named]};
  if (c < 0x20 || (ascii && c >= 0x7f && c < 0x10000)) return unicode_escape(c);
  if (!ascii || c < 0x7f) return "";
  return unicode_escape(0xd800 + ((c - 0x10000) >> 10)) + unicode_escape(0xdc00 + ((c - 0x10000) & 0x3ff));
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value, int depth) {
    budget_.step();
    if (depth > kMaxDepth) fail("a value is nested too deeply");
    switch (value.type) {
      case Type::none:
        return out_.append("null");
      case Type::boolean:
        return out_.append(value.integer != 0 ? "true" : "false");
      case Type::integer:
        return out_.append(std::to_string(value.integer));
      case Type::real:
        return out_.append(real(value.real));
      case Type::string:
        return text(*value.string);
      case Type::list:
        if (!value.is(Form::list) && !value.is(Form::tuple)) fail("tojson of something that is no list");
        return sequence('[', ']', value.list->size(), depth,
                        [&](size_t i) { write((*value.list)[i], depth + 1); });
      case Type::dict:
        return mapping(*value.dict, depth);
      default:
        fail("tojson of something undefined");
    }
  }
  MarkedText take() { return std::move(out_); }

 private:
  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    return std::isinf(value) ? value < 0 ? "-Infinity" : "Infinity" : real_text(value);
  }

  void text(const MarkedText& value) {
    budget_.bytes(value.size());
    out_.append("\"");
    for (size_t i = 0; i < value.size();) {
      const CodePoint c = utf8_at(value.text, i);
      const std::string escape = json_escape(c.value, style_.ascii);
      out_.append(escape.empty() ? std::string_view(value.text).substr(i, c.bytes) : escape, value.author(i));
      i += c.bytes;
    }
    out_.append("\"");
  }

  void mapping(const Dict& dict, int depth) {
    if (dict.kind != DictKind::mapping) fail("tojson of something that is no mapping");
    auto items = dict.items;
    if (style_.sorted) {
      std::stable_sort(items.begin(), items.end(),
                       [&](const auto& a, const auto& b) { return compare(a.first, b.first, budget_) < 0; });
    }
    sequence('{', '}', items.size(), depth, [&](size_t i) {
      key(items[i].first);
      out_.append(style_.colon);
      write(items[i].second, depth + 1);
    });
  }

  void key(const Value& value) {
    if (value.is(Type::string)) return text(*value.string);
    if (value.is(Type::list)) fail("tojson of a mapping with a list as a key");
    out_.append("\"");
    write(value, 0);
    out_.append("\"");
  }

  void line(int depth) {
    if (!style_.lines) return;
    out_.append("\n");
    for (int i = 0; i < depth; ++i) out_.append(style_.indent);
  }

  template <class Item>
  void sequence(char open, char close, size_t count, int depth, Item item) {
    out_.append(std::string_view(&open, 1));
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_.append(style_.between);
      line(depth + 1);
      item(i);
    }
    if (count > 0) line(depth);
    out_.append(std::string_view(&close, 1));
  }

  const JsonStyle& style_;
  Budget& budget_;
  MarkedText out_;
};

}  // namespace

MarkedText to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace uhd::jinja
