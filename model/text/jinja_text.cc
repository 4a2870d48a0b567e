#include "model/text/jinja_text.h"

#include <algorithm>

#include "model/text/unicode.h"
#include "model/text/utf8.h"

namespace uhd::jinja {
namespace {

bool in_set(const std::string* set, std::string_view text, const CodePoint& c, size_t at) {
  if (set == nullptr) return is_space(c.value) || (c.value >= 0x1c && c.value <= 0x1f);
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

List split_lines(const MarkedText& text) {
  List lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.text.find('\n', at), text.size());
    lines.push_back(Value::of(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

MarkedText replaced(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t limit,
                    Budget& budget) {
  MarkedText out;
  if (from.size() == 0) fail("replace of an empty text");
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

bool matches_edge(const MarkedText& text, const Arguments& arguments, bool end) {
  const Value* value = arguments.get(0, "prefix");
  if (value == nullptr) fail("startswith and endswith need a text");
  const auto one = [&](const Value& edge) {
    if (!edge.is(Type::string)) fail("startswith and endswith need a text");
    return end ? text.text.ends_with(edge.str()) : text.text.starts_with(edge.str());
  };
  if (value->is(Type::list)) return std::any_of(value->list->begin(), value->list->end(), one);
  return one(*value);
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
    while (at > begin && (static_cast<unsigned char>(text.text[at]) & 0xc0) == 0x80) --at;
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
    const bool upper = to == Case::upper || (begins && (to == Case::title || to == Case::capitalize));
    out.append(upper ? uppercase(character) : lowercase(character), text.typed[at] != 0);
    const bool letter = is_word(c.value) && !is_number(c.value) && c.value != '_';
    begins = to == Case::title && !letter;
    at += c.bytes;
  }
  return out;
}

Value text_method(const MarkedText& text, const std::string& name, const Arguments& a, Budget& budget) {
  budget.bytes(text.size());
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return Value::of(trimmed(text, text_argument(a, 0, "chars"), name != "rstrip", name != "lstrip", budget));
  }
  if (name == "split" || name == "rsplit") {
    const std::string* separator = text_argument(a, 0, "sep");
    const int64_t limit = count_argument(a, 1, "maxsplit");
    budget.bytes(text.size() * 16);
    if (separator == nullptr && name == "rsplit" && limit >= 0) fail("rsplit needs a text");
    return Value::of(separator == nullptr ? split_at_space(text, limit, budget)
                                          : split_at(text, *separator, limit, name == "rsplit"));
  }
  if (name == "splitlines") return Value::of(split_lines(text));
  if (name == "startswith") return Value::of(matches_edge(text, a, false));
  if (name == "endswith") return Value::of(matches_edge(text, a, true));
  if (name == "upper") return Value::of(changed_case(text, Case::upper, budget));
  if (name == "lower") return Value::of(changed_case(text, Case::lower, budget));
  if (name == "title") return Value::of(changed_case(text, Case::title, budget));
  if (name == "capitalize") return Value::of(changed_case(text, Case::capitalize, budget));
  if (name == "replace") {
    needed_text(a, 0, "old");
    needed_text(a, 1, "new");
    return Value::of(replaced(text, *a.get(0, "old")->string, *a.get(1, "new")->string,
                              count_argument(a, 2, "count"), budget));
  }
  if (name == "find") {
    const size_t at = text.text.find(needed_text(a, 0, "sub"));
    const auto before = std::string_view(text.text).substr(0, at);
    return Value::of(at == std::string::npos ? int64_t{-1}
                                             : static_cast<int64_t>(character_places(before).size()) - 1);
  }
  if (name == "count") {
    return Value::of(static_cast<int64_t>(split_at(text, needed_text(a, 0, "sub"), -1, false).size()) - 1);
  }
  if (name == "join") {
    if (a.positional.empty()) fail("join needs a list");
    return apply_filter("join", a.positional[0], {{Value::of(text)}, {}}, budget);
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const std::string& part = needed_text(a, 0, "prefix");
    const bool prefix = name == "removeprefix";
    if (!(prefix ? text.text.starts_with(part) : text.text.ends_with(part))) return Value::of(text);
    return Value::of(text.substr(prefix ? part.size() : 0, text.size() - part.size()));
  }
  if (name == "isdigit" || name == "isnumeric" || name == "isdecimal")
    return Value::of(all_characters(text, is_number));
  if (name == "isspace") return Value::of(all_characters(text, is_space));
  if (name == "isalpha") {
    return Value::of(
        all_characters(text, [](uint32_t c) { return is_word(c) && !is_number(c) && c != '_'; }));
  }
  fail("the method '" + name + "' of a text is not supported");
}

}  // namespace uhd::jinja
