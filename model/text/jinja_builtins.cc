#include "model/text/jinja_builtins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <functional>
#include <unordered_map>

#include "model/text/jinja_text.h"
#include "model/text/utf8.h"

namespace uhd::jinja {
namespace {

using Filter = Value (*)(const Value&, const Arguments&, Budget&);

int64_t integer_of(const Value& value, const char* what) {
  if (!value.is(Type::integer) && !value.is(Type::boolean))
    fail(std::string(what) + " must be a whole number");
  return value.integer;
}
bool flag(const Arguments& arguments, size_t place, const char* name, bool fallback) {
  const Value* value = arguments.get(place, name);
  return value == nullptr ? fallback : truth(*value);
}
std::string name_of(const Arguments& arguments, size_t place, const char* name) {
  const Value* value = arguments.get(place, name);
  if (value == nullptr || !value->is(Type::string)) fail(std::string("a filter needs its ") + name);
  return value->str();
}
MarkedText text_of(const Value& value, Budget& budget) {
  MarkedText text = to_text(value, budget);
  budget.bytes(text.size());
  return text;
}

// a.b.c, with numbers as places of a list.
Value path_of(Value value, const std::string& path, Budget& budget) {
  for (size_t at = 0; at <= path.size();) {
    const size_t dot = std::min(path.find('.', at), path.size());
    const std::string part = path.substr(at, dot - at);
    const bool number =
        !part.empty() && part.size() < 9 && part.find_first_not_of("0123456789") == std::string::npos;
    value = number ? subscript(value, Value::of(static_cast<int64_t>(std::stoi(part))), budget)
                   : attribute(value, part, budget);
    at = dot + 1;
  }
  return value;
}

Value filter_default(const Value& v, const Arguments& a, Budget&) {
  const bool use = v.is(Type::undefined) || (flag(a, 1, "boolean", false) && !truth(v));
  const Value* fallback = a.get(0, "default_value");
  return !use ? v : fallback == nullptr ? Value::text("") : *fallback;
}
Value filter_join(const Value& v, const Arguments& a, Budget& b) {
  const Value* separator = a.get(0, "d");
  const Value* path = a.get(1, "attribute");
  const MarkedText between = separator == nullptr ? MarkedText() : text_of(*separator, b);
  MarkedText out;
  bool first = true;
  for (const Value& item : items_of(v, b)) {
    if (!first) out.append(between);
    first = false;
    out.append(text_of(path == nullptr ? item : path_of(item, path->str(), b), b));
    b.bytes(between.size());
    if (out.size() > kMaxTextBytes) fail("it makes too much text");
  }
  return Value::of(std::move(out));
}
Value edge(const Value& v, bool last, Budget& b) {
  if (v.is(Type::list)) {
    if (v.list->empty()) return Value::undefined("an item of an empty list");
    return last ? v.list->back() : v.list->front();
  }
  const List items = items_of(v, b);
  return items.empty() ? Value::undefined("an item of an empty list") : last ? items.back() : items.front();
}
Value filter_int(const Value& v, const Arguments& a, Budget& b) {
  if (v.is(Type::real) && std::abs(v.real) < 9e18) return Value::of(static_cast<int64_t>(v.real));
  if (v.is(Type::integer) || v.is(Type::boolean)) return Value::of(v.integer);
  if (v.is(Type::string)) {
    const std::string text = trimmed(*v.string, nullptr, true, true, b).text;
    double number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault == std::errc() && end == text.data() + text.size() && std::abs(number) < 9e18) {
      return Value::of(static_cast<int64_t>(number));
    }
  }
  const Value* fallback = a.get(0, "default");
  return fallback == nullptr ? Value::of(int64_t{0}) : *fallback;
}
Value filter_float(const Value& v, const Arguments& a, Budget& b) {
  if (v.is_number()) return Value::of(v.number());
  if (v.is(Type::string)) {
    const std::string text = trimmed(*v.string, nullptr, true, true, b).text;
    double number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault == std::errc() && end == text.data() + text.size()) return Value::of(number);
  }
  const Value* fallback = a.get(0, "default");
  return fallback == nullptr ? Value::of(0.0) : *fallback;
}
Value filter_items(const Value& v, const Arguments&, Budget&) {
  List pairs;
  if (v.is(Type::undefined)) return Value::of(std::move(pairs));
  if (!v.is(Type::dict)) fail("items of something that is no mapping");
  for (const auto& [key, value] : v.dict->items) pairs.push_back(Value::of(List{Value::text(key), value}));
  return Value::of(std::move(pairs));
}
Value filter_tojson(const Value& v, const Arguments& a, Budget& b) {
  const Value* indent = a.get(0, "indent");
  const bool none = indent == nullptr || indent->is(Type::none);
  MarkedText text = to_json(v, none ? -1 : integer_of(*indent, "indent"), b);
  b.bytes(text.size());
  return Value::of(std::move(text));
}

// select, reject, selectattr, rejectattr.
Value choose(const Value& v, const Arguments& a, bool by_attribute, bool keep, Budget& b) {
  List chosen;
  const size_t first = by_attribute ? 1 : 0;
  const std::string path = by_attribute ? name_of(a, 0, "attribute") : "";
  const bool tested = a.positional.size() > first;
  const std::string test = tested ? name_of(a, first, "test") : "";
  Arguments rest;
  for (size_t i = first + 1; i < a.positional.size(); ++i) rest.positional.push_back(a.positional[i]);
  for (const Value& item : items_of(v, b)) {
    b.step();
    const Value subject = by_attribute ? path_of(item, path, b) : item;
    const bool holds = tested ? apply_test(test, subject, rest, b) : truth(subject);
    if (holds == keep) chosen.push_back(item);
  }
  return Value::of(std::move(chosen));
}
Value filter_map(const Value& v, const Arguments& a, Budget& b) {
  List mapped;
  const Value* path = a.named.contains("attribute") ? &a.named.at("attribute") : nullptr;
  const Value* fallback = a.named.contains("default") ? &a.named.at("default") : nullptr;
  Arguments rest;
  for (size_t i = 1; i < a.positional.size(); ++i) rest.positional.push_back(a.positional[i]);
  const std::string filter = path == nullptr ? name_of(a, 0, "filter") : "";
  for (const Value& item : items_of(v, b)) {
    b.step();
    if (path == nullptr) {
      mapped.push_back(apply_filter(filter, item, rest, b));
    } else {
      const Value found = path->is(Type::string) ? path_of(item, path->str(), b) : subscript(item, *path, b);
      mapped.push_back(found.is(Type::undefined) && fallback != nullptr ? *fallback : found);
    }
  }
  return Value::of(std::move(mapped));
}
Value filter_sort(const Value& v, const Arguments& a, Budget& b) {
  List items = items_of(v, b);
  const Value* path = a.get(2, "attribute");
  const bool descending = flag(a, 0, "reverse", false);
  const bool exact = flag(a, 1, "case_sensitive", false);
  const auto key = [&](const Value& item) {
    Value found = path == nullptr ? item : path_of(item, path->str(), b);
    return found.is(Type::string) && !exact ? Value::of(changed_case(*found.string, Case::lower, b)) : found;
  };
  std::stable_sort(items.begin(), items.end(), [&](const Value& x, const Value& y) {
    b.step();
    return descending ? compare(key(y), key(x), b) < 0 : compare(key(x), key(y), b) < 0;
  });
  return Value::of(std::move(items));
}
Value filter_unique(const Value& v, const Arguments&, Budget& b) {
  List kept;
  for (const Value& item : items_of(v, b)) {
    if (std::none_of(kept.begin(), kept.end(), [&](const Value& k) { return equal(k, item, b); }))
      kept.push_back(item);
  }
  return Value::of(std::move(kept));
}
Value filter_reverse(const Value& v, const Arguments&, Budget& b) {
  List items = items_of(v, b);
  std::reverse(items.begin(), items.end());
  if (!v.is(Type::string)) return Value::of(std::move(items));
  MarkedText out;
  for (const Value& item : items) out.append(*item.string);
  return Value::of(std::move(out));
}
Value filter_dictsort(const Value& v, const Arguments& a, Budget& b) {
  return filter_sort(filter_items(v, a, b), {{}, {{"attribute", Value::text("0")}}}, b);
}
Value filter_round(const Value& v, const Arguments& a, Budget&) {
  const Value* digits = a.get(0, "precision");
  const double scale = std::pow(10.0, digits == nullptr ? 0.0 : digits->number());
  return Value::of(std::nearbyint(v.number() * scale) / scale);
}
Value filter_indent(const Value& v, const Arguments& a, Budget& b) {
  const Value* width = a.get(0, "width");
  const MarkedText text = text_of(v, b);
  MarkedText space(width != nullptr && width->is(Type::string)
                       ? width->str()
                       : std::string(width == nullptr ? 4 : std::clamp<int64_t>(width->integer, 0, 64), ' '));
  const bool blank = flag(a, 2, "blank", false);
  MarkedText out;
  if (flag(a, 1, "first", false)) out.append(space);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.text.find('\n', at), text.size() - 1) + 1;
    out.append(text.substr(at, end - at));
    b.bytes(space.size());
    if (text.text[end - 1] == '\n' && end < text.size() && (blank || text.text[end] != '\n'))
      out.append(space);
    at = end;
  }
  return Value::of(std::move(out));
}
Value extreme(const Value& v, int sign, Budget& b) {
  const List items = items_of(v, b);
  if (items.empty()) return Value::undefined("an item of an empty list");
  Value best = items[0];
  for (const Value& item : items) {
    if (compare(item, best, b) * sign > 0) best = item;
  }
  return best;
}
Value filter_sum(const Value& v, const Arguments& a, Budget& b) {
  const Value* path = a.get(0, "attribute");
  double total = 0;
  bool real = false;
  for (const Value& item : items_of(v, b)) {
    const Value number = path == nullptr ? item : path_of(item, path->str(), b);
    if (!number.is_number()) fail("sum of something that is no number");
    real = real || number.is(Type::real);
    total += number.number();
  }
  return real ? Value::of(total) : Value::of(static_cast<int64_t>(total));
}
Value filter_list(const Value& v, const Arguments&, Budget& b) { return Value::of(items_of(v, b)); }
Value filter_string(const Value& v, const Arguments&, Budget& b) {
  return v.is(Type::string) ? v : Value::of(to_text(v, b));
}

const std::unordered_map<std::string, Filter>& filters() {
  static const std::unordered_map<std::string, Filter> table = {
      {"default", filter_default},
      {"d", filter_default},
      {"join", filter_join},
      {"int", filter_int},
      {"float", filter_float},
      {"items", filter_items},
      {"tojson", filter_tojson},
      {"map", filter_map},
      {"sort", filter_sort},
      {"unique", filter_unique},
      {"reverse", filter_reverse},
      {"dictsort", filter_dictsort},
      {"round", filter_round},
      {"indent", filter_indent},
      {"sum", filter_sum},
      {"list", filter_list},
      {"string", filter_string},
      {"first", [](const Value& v, const Arguments&, Budget& b) { return edge(v, false, b); }},
      {"last", [](const Value& v, const Arguments&, Budget& b) { return edge(v, true, b); }},
      {"min", [](const Value& v, const Arguments&, Budget& b) { return extreme(v, -1, b); }},
      {"max", [](const Value& v, const Arguments&, Budget& b) { return extreme(v, 1, b); }},
      {"length", [](const Value& v, const Arguments&, Budget& b) { return Value::of(length_of(v, b)); }},
      {"count", [](const Value& v, const Arguments&, Budget& b) { return Value::of(length_of(v, b)); }},
      {"safe", [](const Value& v, const Arguments&, Budget&) { return v; }},
      {"abs",
       [](const Value& v, const Arguments&, Budget&) {
         return v.is(Type::real) ? Value::of(std::abs(v.real))
                                 : Value::of(v.integer < 0 ? -v.integer : v.integer);
       }},
      {"select", [](const Value& v, const Arguments& a, Budget& b) { return choose(v, a, false, true, b); }},
      {"reject", [](const Value& v, const Arguments& a, Budget& b) { return choose(v, a, false, false, b); }},
      {"selectattr",
       [](const Value& v, const Arguments& a, Budget& b) { return choose(v, a, true, true, b); }},
      {"rejectattr",
       [](const Value& v, const Arguments& a, Budget& b) { return choose(v, a, true, false, b); }},
  };
  return table;
}

bool is_iterable(const Value& v) { return v.is(Type::list) || v.is(Type::dict) || v.is(Type::string); }

}  // namespace

const Value* Arguments::get(size_t place, const std::string& name) const {
  if (place < positional.size()) return &positional[place];
  const auto found = named.find(name);
  return found == named.end() ? nullptr : &found->second;
}

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget) {
  if (const auto found = filters().find(name); found != filters().end()) {
    return found->second(value, arguments, budget);
  }
  // The filters on text are methods of text; trim is Python's strip.
  static const std::unordered_map<std::string, std::string> methods = {
      {"trim", "strip"},  {"upper", "upper"},           {"lower", "lower"},
      {"title", "title"}, {"capitalize", "capitalize"}, {"replace", "replace"},
  };
  const auto method = methods.find(name);
  if (method == methods.end()) fail("the filter '" + name + "' is not supported");
  return call_method(Value::of(to_text(value, budget)), method->second, arguments, budget);
}

bool apply_test(const std::string& name, const Value& v, const Arguments& arguments, Budget& budget) {
  const auto other = [&]() -> const Value& {
    const Value* value = arguments.get(0, "other");
    if (value == nullptr) fail("the test '" + name + "' needs a value");
    return *value;
  };
  if (name == "defined") return !v.is(Type::undefined);
  if (name == "undefined") return v.is(Type::undefined);
  if (name == "none") return v.is(Type::none);
  if (name == "string") return v.is(Type::string);
  if (name == "mapping") return v.is(Type::dict);
  if (name == "sequence" || name == "iterable") return is_iterable(v);
  if (name == "number") return v.is_number();
  if (name == "integer") return v.is(Type::integer);
  if (name == "float") return v.is(Type::real);
  if (name == "boolean") return v.is(Type::boolean);
  if (name == "true") return v.is(Type::boolean) && v.integer != 0;
  if (name == "false") return v.is(Type::boolean) && v.integer == 0;
  if (name == "callable") return v.is(Type::macro) || v.is(Type::function);
  if (name == "equalto" || name == "eq" || name == "==" || name == "sameas") return equal(v, other(), budget);
  if (name == "ne" || name == "!=") return !equal(v, other(), budget);
  if (name == "in") return contains(other(), v, budget);
  if (name == "gt" || name == "greaterthan" || name == ">") return compare(v, other(), budget) > 0;
  if (name == "ge" || name == ">=") return compare(v, other(), budget) >= 0;
  if (name == "lt" || name == "lessthan" || name == "<") return compare(v, other(), budget) < 0;
  if (name == "le" || name == "<=") return compare(v, other(), budget) <= 0;
  if (name == "odd") return integer_of(v, "an odd number") % 2 != 0;
  if (name == "even") return integer_of(v, "an even number") % 2 == 0;
  if (name == "divisibleby") {
    const int64_t divisor = integer_of(other(), "a divisor");
    if (divisor == 0) fail("division by zero");
    return integer_of(v, "a dividend") % divisor == 0;
  }
  if (name == "upper")
    return v.is(Type::string) && changed_case(*v.string, Case::upper, budget).text == v.str();
  if (name == "lower")
    return v.is(Type::string) && changed_case(*v.string, Case::lower, budget).text == v.str();
  fail("the test '" + name + "' is not supported");
}

Value call_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
  if (object.is(Type::string)) return text_method(*object.string, name, arguments, budget);
  if (object.is(Type::dict) && !object.dict->is_namespace) {
    if (name == "items") return filter_items(object, arguments, budget);
    if (name == "keys") return Value::of(items_of(object, budget));
    if (name == "values") {
      List values;
      for (const auto& [key, value] : object.dict->items) values.push_back(value);
      return Value::of(std::move(values));
    }
    if (name == "get") {
      const Value* key = arguments.get(0, "key");
      const Value* found = key != nullptr && key->is(Type::string) ? object.dict->find(key->str()) : nullptr;
      const Value* fallback = arguments.get(1, "default");
      return found != nullptr ? *found : fallback != nullptr ? *fallback : Value::none();
    }
  }
  fail("the method '" + name + "' is not supported on this value");
}

Value call_function(Function function, const Arguments& arguments, Budget& budget) {
  if (function == Function::raise_exception) {
    const Value* text = arguments.get(0, "message");
    fail(text == nullptr ? "it refuses this conversation" : to_text(*text, budget).text);
  }
  if (function == Function::strftime_now) {
    const Value* format = arguments.get(0, "format");
    if (format == nullptr || !format->is(Type::string) || format->str().size() > 200)
      fail("strftime_now needs a format");
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    char buffer[1024];
    const size_t size = std::strftime(buffer, sizeof(buffer), format->str().c_str(), &local);
    return Value::text({buffer, size});
  }
  if (function == Function::range) {
    if (arguments.positional.empty() || arguments.positional.size() > 3)
      fail("range needs one to three numbers");
    std::vector<int64_t> numbers;
    for (const Value& value : arguments.positional) numbers.push_back(integer_of(value, "a bound of range"));
    const int64_t begin = numbers.size() > 1 ? numbers[0] : 0;
    const int64_t end = numbers.size() > 1 ? numbers[1] : numbers[0];
    const int64_t step = numbers.size() > 2 ? numbers[2] : 1;
    if (step == 0) fail("range with a step of zero");
    List list;
    for (__int128 at = begin; step > 0 ? at < end : at > end; at += step) {
      if (static_cast<int64_t>(list.size()) >= kMaxListItems) fail("range is too long");
      list.push_back(Value::of(static_cast<int64_t>(at)));
    }
    budget.bytes(list.size() * sizeof(Value));
    return Value::of(std::move(list));
  }
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : arguments.named) dict->set(key, value);
  dict->is_namespace = function == Function::make_namespace;
  return Value::of(std::move(dict));
}

Value subscript(const Value& object, const Value& key, Budget& budget) {
  if (object.is(Type::dict)) {
    const Value* found = key.is(Type::string) ? object.dict->find(key.str()) : nullptr;
    return found == nullptr ? Value::undefined(key.is(Type::string) ? key.str() : "a key") : *found;
  }
  if (key.is(Type::integer) && (object.is(Type::list) || object.is(Type::string))) {
    const int64_t size = length_of(object, budget);
    const int64_t place = key.integer < 0 ? key.integer + size : key.integer;
    if (place < 0 || place >= size) return Value::undefined("a place outside of a list");
    if (object.is(Type::list)) return (*object.list)[static_cast<size_t>(place)];
    const auto places = character_places(object.str());
    const auto at = static_cast<size_t>(place);
    return Value::of(object.string->substr(places[at], places[at + 1] - places[at]));
  }
  if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
  return Value::undefined(key.is(Type::string) ? key.str() : "an item");
}

Value attribute(const Value& object, const std::string& name, Budget& budget) {
  return subscript(object, Value::text(name), budget);
}

bool contains(const Value& container, const Value& value, Budget& budget) {
  if (container.is(Type::string)) {
    if (!value.is(Type::string)) fail("'in' a text needs a text");
    budget.bytes(container.string->size());
    return container.str().find(value.str()) != std::string::npos;
  }
  if (container.is(Type::dict)) return value.is(Type::string) && container.dict->find(value.str()) != nullptr;
  if (container.is(Type::undefined)) return false;
  if (!container.is(Type::list)) fail("'in' needs a list, a mapping or a text");
  return std::any_of(container.list->begin(), container.list->end(),
                     [&](const Value& item) { return equal(item, value, budget); });
}

}  // namespace uhd::jinja
