// Implements the filters of one value: numbers and texts.
#include "model/text/jinja/filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "model/text/jinja/format.h"
#include "model/text/jinja/json.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/text.h"
#include "model/text/unicode.h"

namespace uhd::jinja {
namespace {

Value text_of(const Value& value, Budget& budget) {
  return value.is(Type::string) ? value : Value::of(to_text(value, budget));
}
const Value* given(const Arguments& arguments, size_t place, const char* name) {
  const Value* value = arguments.get(place, name);
  return value == nullptr || value->is(Type::none) ? nullptr : value;
}

Value filter_default(const Value& v, const Arguments& a, Budget&) {
  const bool use = v.is(Type::undefined) || (flag(a, 1, "boolean", false) && !truth(v));
  const Value* fallback = a.get(0, "default_value");
  return !use ? v : fallback == nullptr ? Value::text("") : *fallback;
}

// A number as Python reads it: spaces around it, one sign, _ between digits.
std::string plain_number(const Value& v, Budget& b) {
  std::string text = trimmed(*v.string, nullptr, true, true, b).text;
  if (text.find("__") != std::string::npos || text.starts_with('_') || text.ends_with('_')) return "";
  std::erase(text, '_');
  if (text.starts_with("+") && text.size() > 1 && text[1] != '-' && text[1] != '+') text.erase(0, 1);
  return text;
}
std::optional<double> real_in(const std::string& text) {
  double number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  return fault == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}
std::optional<int64_t> whole_in(std::string text, int base) {
  const bool negative = text.starts_with('-');
  if (negative) text.erase(0, 1);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.erase(0, 2);
  if (base == 8 && (text.starts_with("0o") || text.starts_with("0O"))) text.erase(0, 2);
  if (base == 2 && (text.starts_with("0b") || text.starts_with("0B"))) text.erase(0, 2);
  int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (fault != std::errc() || end != text.data() + text.size() || text.starts_with('-')) return std::nullopt;
  return negative ? -number : number;
}

Value filter_int(const Value& v, const Arguments& a, Budget& b) {
  const Value* fallback = a.get(0, "default");
  const Value* base = a.get(1, "base");
  const int64_t digits = base == nullptr ? 10 : integer_of(*base, "a base");
  if (digits < 2 || digits > 36) fail("int needs a base from 2 to 36");
  if (v.is_whole()) return Value::of(v.integer);
  std::optional<double> real;
  if (v.is(Type::real)) real = v.real;
  if (v.is(Type::string)) {
    const std::string text = plain_number(v, b);
    if (const auto whole = whole_in(text, static_cast<int>(digits))) return Value::of(*whole);
    real = real_in(text);
  }
  if (real && std::abs(*real) < 9e18) return Value::of(static_cast<int64_t>(*real));
  return fallback == nullptr ? Value::of(int64_t{0}) : *fallback;
}

Value filter_float(const Value& v, const Arguments& a, Budget& b) {
  if (v.is_number()) return Value::of(v.number());
  if (v.is(Type::string)) {
    if (const auto real = real_in(plain_number(v, b))) return Value::of(*real);
  }
  const Value* fallback = a.get(0, "default");
  return fallback == nullptr ? Value::of(0.0) : *fallback;
}

// tojson(ensure_ascii, indent, separators, sort_keys), as transformers defines it.
Value filter_tojson(const Value& v, const Arguments& a, Budget& b) {
  JsonStyle style{.ascii = flag(a, 0, "ensure_ascii", false), .sorted = flag(a, 3, "sort_keys", false)};
  if (const Value* indent = given(a, 1, "indent")) {
    style.lines = true;
    style.between.assign(1, ',');
    const bool text = indent->is(Type::string);
    style.indent =
        text ? indent->str()
             : std::string(static_cast<size_t>(std::clamp<int64_t>(integer_of(*indent, "indent"), 0, 17)),
                           ' ');
    if (style.indent.size() > 16) fail("tojson with an indent above 16");
  }
  if (const Value* separators = given(a, 2, "separators")) {
    const List both = items_of(*separators, b);
    if (both.size() != 2 || !both[0].is(Type::string) || !both[1].is(Type::string))
      fail("tojson needs two separators");
    style.between = both[0].str();
    style.colon = both[1].str();
  }
  MarkedText text = to_json(v, style, b);
  b.bytes(text.size());
  return Value::of(std::move(text));
}

// To the nearest, halves to even, exactly as the decimal digits of the number say.
double rounded(double value, int64_t digits) {
  if (digits >= 0) {
    char buffer[400];
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
    return std::strtod(buffer, nullptr);
  }
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / scale) * scale;
}

Value filter_round(const Value& v, const Arguments& a, Budget& b) {
  const Value* precision = a.get(0, "precision");
  const Value* method = a.get(1, "method");
  const int64_t digits = precision == nullptr ? 0 : integer_of(*precision, "a precision");
  const std::string how = method == nullptr ? "common" : to_text(*method, b).text;
  if (how != "common" && how != "ceil" && how != "floor") fail("round takes common, ceil or floor");
  if (!v.is_number() || digits < -18 || digits > 60) fail("round of something that is no number");
  if (how == "common") {
    if (v.is(Type::real)) return Value::of(rounded(v.real, digits));
    return digits >= 0 ? Value::of(v.integer) : Value::of(static_cast<int64_t>(rounded(v.number(), digits)));
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = v.number() * scale;
  return Value::of((how == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filter_abs(const Value& v, const Arguments&, Budget& b) {
  if (!v.is_number()) fail("abs of something that is no number");
  if (v.is(Type::real)) return Value::of(std::abs(v.real));
  return v.integer < 0 ? negated(v, b) : Value::of(v.integer);
}

Value filter_indent(const Value& v, const Arguments& a, Budget& b) {
  const Value* width = a.get(0, "width");
  const bool text = width != nullptr && width->is(Type::string);
  const int64_t spaces =
      width == nullptr || text ? 4 : std::clamp<int64_t>(integer_of(*width, "a width"), 0, 1000);
  const MarkedText space = text ? *width->string : MarkedText(std::string(static_cast<size_t>(spaces), ' '));
  MarkedText lines_of = to_text(v, b);
  lines_of.append("\n");
  const List lines = split_lines(lines_of, false);
  const bool blank = flag(a, 2, "blank", false);
  MarkedText out;
  if (flag(a, 1, "first", false)) out.append(space);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 && (blank || lines[i].string->size() > 0)) out.append(space);
    out.append(*lines[i].string);
    b.bytes(space.size() + lines[i].string->size());
  }
  return Value::of(std::move(out));
}

Value filter_truncate(const Value& v, const Arguments& a, Budget& b) {
  const Value* length = a.get(0, "length");
  const Value* end = a.get(2, "end");
  const Value* leeway = given(a, 3, "leeway");
  const MarkedText text = to_text(v, b);
  const MarkedText dots = end == nullptr ? MarkedText("...") : to_text(*end, b);
  const int64_t size = length == nullptr ? 255 : integer_of(*length, "a length");
  const int64_t spare = leeway == nullptr ? 5 : integer_of(*leeway, "a leeway");
  const auto places = character_places(text.text);
  const int64_t kept = size - static_cast<int64_t>(character_places(dots.text).size() - 1);
  if (kept < 0 || spare < 0 || spare > 1'000'000) fail("truncate to less than its end");
  if (static_cast<int64_t>(places.size()) - 1 <= size + spare) return Value::of(text);
  MarkedText shown = text.substr(0, places[static_cast<size_t>(kept)]);
  const size_t space = shown.text.rfind(' ');
  if (!flag(a, 1, "killwords", false) && space != std::string::npos) shown = shown.substr(0, space);
  shown.append(dots);
  return Value::of(std::move(shown));
}

Value filter_wordcount(const Value& v, const Arguments&, Budget& b) {
  const MarkedText text = to_text(v, b);
  b.bytes(text.size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text.text, at);
    const bool word = is_letter(c.value) || is_number(c.value) || c.value == '_';
    words += word && !inside ? 1 : 0;
    inside = word;
    at += c.bytes;
  }
  return Value::of(words);
}

// Words begin after - ( { [ < and spaces.
Value filter_title(const Value& v, const Arguments&, Budget& b) {
  const MarkedText text = to_text(v, b);
  b.bytes(text.size());
  MarkedText out;
  bool begins = true;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text.text, at);
    const MarkedText character = text.substr(at, c.bytes);
    out.append(changed_case(character, begins ? Case::upper : Case::lower, b));
    begins = is_space(c.value) ||
             (c.value < 0x80 &&
              std::string_view("-({[<").find(static_cast<char>(c.value)) != std::string_view::npos);
    at += c.bytes;
  }
  return Value::of(std::move(out));
}

Value filter_center(const Value& v, const Arguments& a, Budget& b) {
  const Value* width = a.get(0, "width");
  return text_method(text_of(v, b), "center", {{width == nullptr ? Value::of(int64_t{80}) : *width}, {}}, b);
}

Value filter_filesize(const Value& v, const Arguments& a, Budget& b) {
  const double bytes = filter_float(v, {}, b).real;
  const bool binary = flag(a, 0, "binary", false);
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::text("1 Byte");
  if (bytes < base) return Value::text(std::to_string(static_cast<int64_t>(bytes)) + " Bytes");
  constexpr std::string_view kUnits = "kMGTPEZY";
  double unit = base;
  size_t place = 0;
  for (; place + 1 < kUnits.size() && bytes >= unit * base; ++place) unit *= base;
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), "%.1f ", bytes / unit);
  const char letter = binary && place == 0 ? 'K' : kUnits[place];
  return Value::text(std::string(buffer) + letter + (binary ? "iB" : "B"));
}

MarkedText quoted_url(const MarkedText& text, bool query) {
  MarkedText out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.text[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !query);
    char escape[4];
    std::snprintf(escape, sizeof(escape), "%%%02X", static_cast<unsigned char>(c));
    out.append(plain ? std::string_view(&c, 1) : query && c == ' ' ? "+" : escape, text.author(i));
  }
  return out;
}

Value filter_urlencode(const Value& v, const Arguments&, Budget& b) {
  if (!v.is(Type::dict) && !v.is(Type::list)) return Value::of(quoted_url(to_text(v, b), false));
  MarkedText out;
  for (const Value& pair : items_of(v.is(Type::dict) ? apply_filter("items", v, {}, b) : v, b)) {
    const List parts = items_of(pair, b);
    if (parts.size() != 2) fail("urlencode needs pairs");
    if (out.size() > 0) out.append("&");
    out.append(quoted_url(to_text(parts[0], b), true));
    out.append("=");
    out.append(quoted_url(to_text(parts[1], b), true));
  }
  return Value::of(std::move(out));
}

Value filter_format(const Value& v, const Arguments& a, Budget& b) {
  if (!a.positional.empty() && !a.named.empty()) fail("format takes values in order or by name");
  if (a.named.empty()) return Value::of(percent_format(text_of(v, b), Value::tuple(a.positional), b));
  auto names = std::make_shared<Dict>();
  for (const auto& [name, value] : a.named) names->set(name, value);
  return Value::of(percent_format(text_of(v, b), Value::of(std::move(names)), b));
}

Value filter_attr(const Value& v, const Arguments& a, Budget& b) {
  const Value* name = a.get(0, "name");
  if (name == nullptr || !name->is(Type::string)) fail("attr needs a name");
  const Value found = attribute(v, name->str(), b);
  const bool item = v.is(DictKind::mapping) && !found.is(Type::function);
  return item ? Value::undefined(name->str()) : found;
}

Value filter_safe(const Value& v, const Arguments&, Budget& b) {
  Value safe = text_of(v, b);
  safe.escaped = true;
  return safe;
}
Value filter_escape(const Value& v, const Arguments&, Budget& b) { return escaped(v, b); }
Value filter_force_escape(const Value& v, const Arguments&, Budget& b) {
  return escaped(Value::of(to_text(v, b)), b);
}
Value filter_string(const Value& v, const Arguments&, Budget& b) { return text_of(v, b); }

// replace of the filter gives plain text; its count may be none.
Value filter_replace(const Value& v, const Arguments& a, Budget& b) {
  const Value* from = a.get(0, "old");
  const Value* to = a.get(1, "new");
  if (from == nullptr || to == nullptr) fail("replace needs two texts");
  List values{text_of(*from, b), text_of(*to, b)};
  if (const Value* count = given(a, 2, "count")) values.push_back(*count);
  return text_method(Value::of(to_text(v, b)), "replace", {std::move(values), {}}, b);
}

enum Method : uint8_t { strip, upper, lower, capitalize };
constexpr std::array<const char*, 4> kMethods = {"strip", "upper", "lower", "capitalize"};
template <Method method>
Value by_method(const Value& v, const Arguments& a, Budget& b) {
  return text_method(text_of(v, b), kMethods[method], a, b);
}

}  // namespace

const Filters& value_filters() {
  static const Filters table = {
      {"default", filter_default},
      {"d", filter_default},
      {"int", filter_int},
      {"float", filter_float},
      {"tojson", filter_tojson},
      {"round", filter_round},
      {"abs", filter_abs},
      {"indent", filter_indent},
      {"truncate", filter_truncate},
      {"wordcount", filter_wordcount},
      {"title", filter_title},
      {"center", filter_center},
      {"filesizeformat", filter_filesize},
      {"urlencode", filter_urlencode},
      {"format", filter_format},
      {"attr", filter_attr},
      {"safe", filter_safe},
      {"escape", filter_escape},
      {"e", filter_escape},
      {"forceescape", filter_force_escape},
      {"string", filter_string},
      {"replace", filter_replace},
      {"trim", by_method<strip>},
      {"upper", by_method<upper>},
      {"lower", by_method<lower>},
      {"capitalize", by_method<capitalize>},
  };
  return table;
}

}  // namespace uhd::jinja
