#include "model/text/jinja/text.h"

#include <algorithm>
#include <unordered_map>

#include "base/utf8.h"
#include "model/text/jinja/format.h"
#include "model/text/unicode.h"

namespace uhd::jinja {
namespace {

bool in_set(const std::string* set, std::string_view text, const CodePoint& c, size_t at) {
  if (set == nullptr) return is_blank(c.value);
  return set->find(text.substr(at, c.bytes)) != std::string::npos;
}

const std::string* text_argument(const Arguments& arguments, size_t place, const char* name) {
  const Value* value = arguments.get(place, name);
  if (value == nullptr || value->is(Type::none)) return nullptr;
  if (!value->is(Type::string)) fail(std::string("the argument ") + name + " must be a text");
  return &value->str();
}
const std::string& needed_text(const Arguments& arguments, size_t place, const char* name) {
  const std::string* text = text_argument(arguments, place, name);
  if (text == nullptr) fail(std::string("the argument ") + name + " is missing");
  return *text;
}
int64_t count_argument(const Arguments& arguments, size_t place, const char* name) {
  const Value* value = arguments.get(place, name);
  if (value == nullptr) return -1;
  if (!value->is(Type::integer)) fail(std::string("the argument ") + name + " must be a whole number");
  return value->integer;
}

List split_at(const MarkedText& text, const std::string& separator, int64_t limit, bool from_right) {
  if (separator.empty()) fail("split by an empty text");
  List parts;
  std::vector<size_t> cuts;
  for (size_t at = text.text.find(separator); at != std::string::npos;
       at = text.text.find(separator, at + separator.size())) {
    cuts.push_back(at);
  }
  if (limit >= 0 && cuts.size() > static_cast<size_t>(limit)) {
    if (from_right) {
      cuts.erase(cuts.begin(), cuts.end() - limit);
    } else {
      cuts.resize(static_cast<size_t>(limit));
    }
  }
  size_t begin = 0;
  for (const size_t cut : cuts) {
    parts.push_back(Value::of(text.substr(begin, cut - begin)));
    begin = cut + separator.size();
  }
  parts.push_back(Value::of(text.substr(begin)));
  return parts;
}

List split_at_space(const MarkedText& text, int64_t limit, Budget& budget) {
  List parts;
  size_t at = 0;
  while (true) {
    const MarkedText rest = trimmed(text.substr(at), nullptr, true, false, budget);
    if (rest.size() == 0) return parts;
    at = text.size() - rest.size();
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Value::of(rest));
      return parts;
    }
    size_t end = at;
    while (end < text.size()) {
      const CodePoint c = utf8_at(text.text, end);
      if (in_set(nullptr, text.text, c, end)) break;
      end += c.bytes;
    }
    parts.push_back(Value::of(text.substr(at, end - at)));
    at = end;
  }
}

// Between all characters and at the ends.
MarkedText woven(const MarkedText& text, const MarkedText& with, int64_t limit, Budget& budget) {
  MarkedText out;
  const auto places = character_places(text.text);
  budget.bytes(with.size() * places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    if (limit < 0 || static_cast<int64_t>(i) < limit) out.append(with);
    if (i + 1 < places.size()) out.append(text.substr(places[i], places[i + 1] - places[i]));
  }
  return out;
}

MarkedText replaced(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t limit,
                    Budget& budget) {
  if (from.size() == 0) return woven(text, to, limit, budget);
  MarkedText out;
  size_t at = 0;
  for (size_t found = text.text.find(from.text); found != std::string::npos && limit != 0;
       found = text.text.find(from.text, at)) {
    out.append(text.substr(at, found - at));
    out.append(to);
    budget.bytes(to.size());
    at = found + from.size();
    --limit;
    if (out.size() > kMaxTextBytes) fail("it makes too much text");
  }
  out.append(text.substr(at));
  budget.bytes(out.size());
  return out;
}

// The part from the argument at `place` to the next one, as of a slice; `begin` is where it begins, in
// characters.
MarkedText part_of(const MarkedText& text, const Arguments& a, size_t place, int64_t& begin) {
  if (a.positional.size() <= place) return text;
  const auto places = character_places(text.text);
  const auto size = static_cast<int64_t>(places.size()) - 1;
  const auto bound = [&](size_t i, int64_t fallback) {
    if (a.positional.size() <= i || a.positional[i].is(Type::none)) return fallback;
    const int64_t at = integer_of(a.positional[i], "a place");
    return std::clamp<int64_t>(at < 0 ? std::max(at, -size) + size : at, 0, size);
  };
  begin = bound(place, 0);
  const int64_t end = std::max(begin, bound(place + 1, size));
  const size_t from = places[static_cast<size_t>(begin)];
  return text.substr(from, places[static_cast<size_t>(end)] - from);
}

bool matches_edge(const MarkedText& whole, const Arguments& arguments, bool end) {
  const Value* value = arguments.get(0, "prefix");
  if (value == nullptr) fail("startswith and endswith need a text");
  int64_t begin = 0;
  const MarkedText text = part_of(whole, arguments, 1, begin);
  const auto one = [&](const Value& edge) {
    if (!edge.is(Type::string)) fail("startswith and endswith need a text");
    return end ? text.text.ends_with(edge.str()) : text.text.starts_with(edge.str());
  };
  if (value->is(Form::tuple)) return std::any_of(value->list->begin(), value->list->end(), one);
  return one(*value);
}

int64_t place_of(const MarkedText& whole, const Arguments& a, bool last) {
  int64_t begin = 0;
  const MarkedText text = part_of(whole, a, 1, begin);
  const std::string& sought = needed_text(a, 0, "sub");
  const size_t at = last ? text.text.rfind(sought) : text.text.find(sought);
  if (at == std::string::npos) return -1;
  return begin + static_cast<int64_t>(character_places(std::string_view(text.text).substr(0, at)).size()) - 1;
}

// Splits the text around its first or last separator.
List around(const MarkedText& text, const std::string& separator, bool last) {
  if (separator.empty()) fail("partition by an empty text");
  const size_t at = last ? text.text.rfind(separator) : text.text.find(separator);
  const Value nothing = Value::text("");
  if (at == std::string::npos) {
    return last ? List{nothing, nothing, Value::of(text)} : List{Value::of(text), nothing, nothing};
  }
  return {Value::of(text.substr(0, at)), Value::of(text.substr(at, separator.size())),
          Value::of(text.substr(at + separator.size()))};
}

// left: how many of the missing characters come before the text.
template <class Left>
MarkedText filled(const MarkedText& text, const Arguments& a, Budget& budget, Left left) {
  const Value* width = a.get(0, "width");
  const Value* fill = a.get(1, "fillchar");
  if (width == nullptr) fail("a width is missing");
  const int64_t size = static_cast<int64_t>(character_places(text.text).size()) - 1;
  const int64_t missing = integer_of(*width, "a width") - size;
  if (missing <= 0) return text;
  const MarkedText sign = fill == nullptr ? MarkedText(" ") : to_text(*fill, budget);
  if (character_places(sign.text).size() != 2) fail("the character to fill with must be one");
  if (missing > static_cast<int64_t>(kMaxTextBytes)) fail("it makes too much text");
  budget.bytes(static_cast<size_t>(missing) * sign.size());
  MarkedText out;
  for (int64_t i = 0; i < missing; ++i) {
    if (i == left(missing)) out.append(text);
    out.append(sign);
  }
  if (left(missing) == missing) out.append(text);
  return out;
}

template <class Class>
bool all_characters(const MarkedText& text, Class in_class) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text.text, at);
    if (!in_class(c.value)) return false;
    at += c.bytes;
  }
  return text.size() > 0;
}

}  // namespace

bool is_blank(uint32_t c) { return is_space(c) || (c >= 0x1c && c <= 0x1f); }

MarkedText trimmed(const MarkedText& text, const std::string* set, bool left, bool right, Budget& budget) {
  budget.bytes(text.size());
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const CodePoint c = utf8_at(text.text, begin);
    if (!in_set(set, text.text, c, begin)) break;
    begin += c.bytes;
  }
  while (right && end > begin) {
    size_t at = end - 1;
    while (at > begin && !begins_character(text.text[at])) --at;
    if (!in_set(set, text.text, utf8_at(text.text, at), at)) break;
    end = at;
  }
  return text.substr(begin, end - begin);
}

MarkedText changed_case(const MarkedText& text, Case to, Budget& budget) {
  budget.bytes(text.size());
  MarkedText out;
  bool begins = true;  // a word (title), or the text (capitalize)
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text.text, at);
    const std::string_view character = std::string_view(text.text).substr(at, c.bytes);
    const bool upper = to == Case::upper || (begins && (to == Case::title || to == Case::capitalize)) ||
                       (to == Case::swapped && is_lowercase(c.value));
    out.append(!upper                         ? lowercase(character)
               : c.value != 0xdf              ? uppercase(character)
               : to == Case::upper || !begins ? "SS"
                                              : "Ss",
               text.author(at));
    const bool letter = is_letter(c.value);
    begins = to == Case::title && !letter;
    at += c.bytes;
  }
  return out;
}

List split_lines(const MarkedText& text, bool keep_ends) {
  List lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    CodePoint c;
    while (end < text.size()) {
      c = utf8_at(text.text, end);
      const uint32_t v = c.value;
      if ((v >= '\n' && v <= '\r') || (v >= 0x1c && v <= 0x1e) || v == 0x85 || v == 0x2028 || v == 0x2029)
        break;
      end += c.bytes;
    }
    size_t next = std::min(end + c.bytes, text.size());
    if (c.value == '\r' && next < text.size() && text.text[next] == '\n') ++next;
    if (end >= text.size()) next = end = text.size();
    lines.push_back(Value::of(text.substr(begin, (keep_ends ? next : end) - begin)));
    begin = next;
  }
  return lines;
}

namespace {

using Method = Value (*)(const MarkedText&, const Arguments&, Budget&);

template <bool left, bool right>
Value strip(const MarkedText& text, const Arguments& a, Budget& budget) {
  return Value::of(trimmed(text, text_argument(a, 0, "chars"), left, right, budget));
}

template <bool from_right>
Value split(const MarkedText& text, const Arguments& a, Budget& budget) {
  const std::string* separator = text_argument(a, 0, "sep");
  const int64_t limit = count_argument(a, 1, "maxsplit");
  budget.bytes(text.size() * 16);
  if (separator == nullptr && from_right && limit >= 0) fail("rsplit needs a text");
  return Value::of(separator == nullptr ? split_at_space(text, limit, budget)
                                        : split_at(text, *separator, limit, from_right));
}

template <Case to>
Value in_case(const MarkedText& text, const Arguments&, Budget& budget) {
  return Value::of(changed_case(text, to, budget));
}

Value replace(const MarkedText& text, const Arguments& a, Budget& budget) {
  needed_text(a, 0, "old");
  needed_text(a, 1, "new");
  return Value::of(replaced(text, *a.get(0, "old")->string, *a.get(1, "new")->string,
                            count_argument(a, 2, "count"), budget));
}

template <bool last, bool must>
Value find(const MarkedText& text, const Arguments& a, Budget&) {
  const int64_t at = place_of(text, a, last);
  if (must && at < 0) fail("index of a text that is not there");
  return Value::of(at);
}

Value count(const MarkedText& text, const Arguments& a, Budget&) {
  int64_t begin = 0;
  const MarkedText part = part_of(text, a, 1, begin);
  const std::string& sought = needed_text(a, 0, "sub");
  if (sought.empty()) return Value::of(static_cast<int64_t>(character_places(part.text).size()));
  return Value::of(static_cast<int64_t>(split_at(part, sought, -1, false).size()) - 1);
}

Value join(const MarkedText& text, const Arguments& a, Budget& budget) {
  if (a.positional.empty()) fail("join needs a list");
  const List items = items_of(a.positional[0], budget);
  if (!std::all_of(items.begin(), items.end(), [](const Value& item) { return item.is(Type::string); }))
    fail("join of something that is no text");
  return apply_filter("join", Value::of(items), {{Value::of(text)}, {}}, budget);
}

template <bool prefix>
Value remove_edge(const MarkedText& text, const Arguments& a, Budget&) {
  const std::string& part = needed_text(a, 0, prefix ? "prefix" : "suffix");
  if (!(prefix ? text.text.starts_with(part) : text.text.ends_with(part))) return Value::of(text);
  return Value::of(text.substr(prefix ? part.size() : 0, text.size() - part.size()));
}

Value zfill(const MarkedText& text, const Arguments& a, Budget& budget) {
  const size_t sign = text.text.starts_with('-') || text.text.starts_with('+') ? 1 : 0;
  const Value* width = a.get(0, "width");
  if (width == nullptr) fail("a width is missing");
  const Value digits = Value::of(integer_of(*width, "a width") - static_cast<int64_t>(sign));
  MarkedText out = text.substr(0, sign);
  out.append(
      filled(text.substr(sign), {{digits, Value::text("0")}, {}}, budget, [](int64_t n) { return n; }));
  return Value::of(std::move(out));
}

template <bool (*in_class)(uint32_t)>
Value all_of(const MarkedText& text, const Arguments&, Budget&) {
  return Value::of(all_characters(text, in_class));
}
bool is_alphanumeric(uint32_t c) { return is_letter(c) || is_number(c); }

// Returns true if there are letters with a case, and all of them have this one.
template <bool upper>
Value has_case(const MarkedText& text, const Arguments&, Budget&) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = utf8_at(text.text, at);
    if (upper ? is_lowercase(c.value) : is_uppercase(c.value)) return Value::of(false);
    any = any || is_lowercase(c.value) || is_uppercase(c.value);
    at += c.bytes;
  }
  return Value::of(any);
}

const std::unordered_map<std::string_view, Method>& methods() {
  static const std::unordered_map<std::string_view, Method> table = {
      {"strip", strip<true, true>},
      {"lstrip", strip<true, false>},
      {"rstrip", strip<false, true>},
      {"split", split<false>},
      {"rsplit", split<true>},
      {"splitlines", [](const MarkedText& t, const Arguments& a,
                        Budget&) { return Value::of(split_lines(t, flag(a, 0, "keepends", false))); }},
      {"startswith",
       [](const MarkedText& t, const Arguments& a, Budget&) { return Value::of(matches_edge(t, a, false)); }},
      {"endswith",
       [](const MarkedText& t, const Arguments& a, Budget&) { return Value::of(matches_edge(t, a, true)); }},
      {"upper", in_case<Case::upper>},
      {"lower", in_case<Case::lower>},
      {"title", in_case<Case::title>},
      {"capitalize", in_case<Case::capitalize>},
      {"swapcase", in_case<Case::swapped>},
      {"replace", replace},
      {"find", find<false, false>},
      {"rfind", find<true, false>},
      {"index", find<false, true>},
      {"rindex", find<true, true>},
      {"count", count},
      {"join", join},
      {"removeprefix", remove_edge<true>},
      {"removesuffix", remove_edge<false>},
      {"partition", [](const MarkedText& t, const Arguments& a,
                       Budget&) { return Value::tuple(around(t, needed_text(a, 0, "sep"), false)); }},
      {"rpartition", [](const MarkedText& t, const Arguments& a,
                        Budget&) { return Value::tuple(around(t, needed_text(a, 0, "sep"), true)); }},
      {"ljust", [](const MarkedText& t, const Arguments& a,
                   Budget& b) { return Value::of(filled(t, a, b, [](int64_t) { return int64_t{0}; })); }},
      {"rjust", [](const MarkedText& t, const Arguments& a,
                   Budget& b) { return Value::of(filled(t, a, b, [](int64_t n) { return n; })); }},
      {"center",
       [](const MarkedText& t, const Arguments& a, Budget& b) {
         const bool odd = a.get(0, "width") != nullptr && a.get(0, "width")->integer % 2 != 0;
         return Value::of(filled(t, a, b, [odd](int64_t n) { return n / 2 + (n % 2 != 0 && odd ? 1 : 0); }));
       }},
      {"zfill", zfill},
      {"isdigit", all_of<is_digit>},
      {"isdecimal", all_of<is_decimal>},
      {"isnumeric", all_of<is_number>},
      {"isspace", all_of<is_blank>},
      {"isalpha", all_of<is_letter>},
      {"isalnum", all_of<is_alphanumeric>},
      {"isascii",
       [](const MarkedText& t, const Arguments&, Budget&) {
         return Value::of(std::all_of(t.text.begin(), t.text.end(),
                                      [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
       }},
      {"isupper", has_case<true>},
      {"islower", has_case<false>},
  };
  return table;
}

}  // namespace

bool is_text_method(std::string_view name) { return name == "format" || methods().contains(name); }

Value text_method(const Value& text, const std::string& name, const Arguments& arguments, Budget& budget) {
  budget.bytes(text.string->size());
  if (name == "format") return Value::of(brace_format(text, arguments, budget));
  const auto found = methods().find(name);
  if (found == methods().end()) fail("the method '" + name + "' of a text is not supported");
  if (text.escaped && name == "join") fail("join by escaped text");
  Value result = found->second(*text.string, arguments, budget);
  if (result.is(Type::string)) result.escaped = text.escaped;
  return result;
}

}  // namespace uhd::jinja
