// Implements the filters that go through lists: they choose, order, group and cut.
#include <algorithm>

#include "model/text/jinja/filters.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/text.h"

namespace uhd::jinja {
namespace {

bool is_place(const std::string& part) {
  return !part.empty() && part.size() < 9 && part.find_first_not_of("0123456789") == std::string::npos;
}

// Looks up a.b.c, with numbers as places of a list; `fallback`, if given, replaces a value that is missing.
Value path_of(Value value, const Value& path, const Value* fallback, Budget& budget) {
  if (!path.is(Type::string)) return subscript(value, path, budget);
  const std::string& text = path.str();
  for (size_t at = 0; at <= text.size();) {
    const size_t dot = std::min(text.find('.', at), text.size());
    const std::string part = text.substr(at, dot - at);
    value = is_place(part) ? subscript(value, Value::of(static_cast<int64_t>(std::stoi(part))), budget)
                           : subscript(value, Value::text(part), budget);
    if (fallback != nullptr && value.is(Type::undefined)) value = *fallback;
    at = dot + 1;
  }
  return value;
}

// A Key says by what items are compared: an attribute or the item itself, without the difference of
// letters' case.
struct Key {
  const Value* path = nullptr;
  const Value* fallback = nullptr;
  bool exact = false;

  Value of(const Value& item, Budget& budget) const {
    Value found = path == nullptr ? item : path_of(item, *path, fallback, budget);
    return found.is(Type::string) && !exact ? Value::of(changed_case(*found.string, Case::lower, budget))
                                            : found;
  }
};

// a,b as two keys in a list.
List keys_of(const Value& item, const Key& key, Budget& budget) {
  if (key.path == nullptr || !key.path->is(Type::string)) return {key.of(item, budget)};
  List keys;
  const std::string& text = key.path->str();
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const Value path = Value::text(text.substr(at, comma - at));
    keys.push_back(Key{&path, key.fallback, key.exact}.of(item, budget));
    at = comma + 1;
  }
  return keys;
}

List sorted(List items, const Key& key, bool descending, Budget& budget) {
  std::vector<std::pair<Value, Value>> pairs;
  for (Value& item : items) {
    Value by = Value::of(keys_of(item, key, budget));
    pairs.emplace_back(std::move(by), std::move(item));
  }
  std::stable_sort(pairs.begin(), pairs.end(), [&](const auto& x, const auto& y) {
    return descending ? compare(y.first, x.first, budget) < 0 : compare(x.first, y.first, budget) < 0;
  });
  for (size_t i = 0; i < items.size(); ++i) items[i] = std::move(pairs[i].second);
  return items;
}

const std::string& name_in(const Arguments& arguments, size_t place, const char* what) {
  if (place >= arguments.positional.size() || !arguments.positional[place].is(Type::string))
    fail(std::string("a filter needs its ") + what);
  return arguments.positional[place].str();
}

// Implements select, reject, selectattr and rejectattr.
template <bool by_attribute, bool keep>
Value choose(const Value& v, const Arguments& a, Budget& b) {
  const size_t skip = by_attribute ? 1 : 0;
  if (a.positional.size() < skip) fail("a filter needs its attribute");
  const bool tested = a.positional.size() > skip;
  const std::string test = tested ? name_in(a, skip, "test") : "";
  const Arguments rest = a.from(skip + 1);
  List chosen;
  for (const Value& item : items_of(v, b)) {
    b.step();
    const Value subject = by_attribute ? path_of(item, a.positional[0], nullptr, b) : item;
    const bool holds = tested ? apply_test(test, subject, rest, b) : truth(subject);
    if (holds == keep) chosen.push_back(item);
  }
  return Value::iterator(std::move(chosen));
}

Value filter_map(const Value& v, const Arguments& a, Budget& b) {
  const Value* path = a.positional.empty() ? a.get("attribute") : nullptr;
  const std::string filter = path == nullptr ? name_in(a, 0, "filter") : "";
  const Arguments rest = path == nullptr ? a.from(1) : Arguments{};
  List mapped;
  for (const Value& item : items_of(v, b)) {
    b.step();
    mapped.push_back(path == nullptr ? apply_filter(filter, item, rest, b)
                                     : path_of(item, *path, a.get("default"), b));
  }
  return Value::iterator(std::move(mapped));
}

Value filter_sort(const Value& v, const Arguments& a, Budget& b) {
  const Key key{a.get(2, "attribute"), nullptr, flag(a, 1, "case_sensitive", false)};
  return Value::of(sorted(items_of(v, b), key, flag(a, 0, "reverse", false), b));
}

Value filter_dictsort(const Value& v, const Arguments& a, Budget& b) {
  const Value* by = a.get(1, "by");
  const bool value = by != nullptr && by->is(Type::string) && by->str() == "value";
  const Value place = Value::of(int64_t{value ? 1 : 0});
  const Key key{&place, nullptr, flag(a, 0, "case_sensitive", false)};
  return Value::of(
      sorted(items_of(apply_filter("items", v, {}, b), b), key, flag(a, 2, "reverse", false), b));
}

Value filter_unique(const Value& v, const Arguments& a, Budget& b) {
  const Key key{a.get(1, "attribute"), nullptr, flag(a, 0, "case_sensitive", false)};
  List kept;
  List keys;
  for (const Value& item : items_of(v, b)) {
    Value by = key.of(item, b);
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& k) { return equal(k, by, b); })) continue;
    kept.push_back(item);
    keys.push_back(std::move(by));
  }
  return Value::iterator(std::move(kept));
}

Value group_of(const Value& name, List members) {
  auto names = std::make_shared<Dict>();
  const Value list = Value::of(std::move(members));
  names->set("grouper", name);
  names->set("list", list);
  Value group = Value::tuple({name, list});
  group.dict = std::move(names);
  return group;
}

Value filter_groupby(const Value& v, const Arguments& a, Budget& b) {
  const Value* path = a.get(0, "attribute");
  if (path == nullptr) fail("groupby needs an attribute");
  const Key key{path, a.get(1, "default"), flag(a, 2, "case_sensitive", false)};
  const List items = sorted(items_of(v, b), key, false, b);
  List groups;
  for (size_t begin = 0; begin < items.size();) {
    const Value by = key.of(items[begin], b);
    size_t end = begin + 1;
    while (end < items.size() && equal(key.of(items[end], b), by, b)) ++end;
    groups.push_back(group_of(path_of(items[begin], *path, key.fallback, b),
                              List(items.begin() + static_cast<std::ptrdiff_t>(begin),
                                   items.begin() + static_cast<std::ptrdiff_t>(end))));
    begin = end;
  }
  return Value::of(std::move(groups));
}

Value filter_batch(const Value& v, const Arguments& a, Budget& b) {
  const Value* count = a.get(0, "linecount");
  const Value* fill = a.get(1, "fill_with");
  const int64_t size = count == nullptr ? 0 : integer_of(*count, "the count of batch");
  if (size < 1 || size > kMaxListItems) fail("batch needs a count");
  List batches;
  List batch;
  for (const Value& item : items_of(v, b)) {
    batch.push_back(item);
    if (static_cast<int64_t>(batch.size()) == size) batches.push_back(Value::of(std::exchange(batch, {})));
  }
  if (!batch.empty()) {
    if (fill != nullptr && !fill->is(Type::none)) batch.resize(static_cast<size_t>(size), *fill);
    batches.push_back(Value::of(std::move(batch)));
  }
  b.bytes(batches.size() * sizeof(Value));
  return Value::iterator(std::move(batches));
}

Value filter_slice(const Value& v, const Arguments& a, Budget& b) {
  const Value* count = a.get(0, "slices");
  const Value* fill = a.get(1, "fill_with");
  const int64_t slices = count == nullptr ? 0 : integer_of(*count, "the count of slice");
  if (slices < 1 || slices > kMaxListItems) fail("slice needs a count");
  const List items = items_of(v, b);
  const auto size = static_cast<int64_t>(items.size());
  List out;
  auto at = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    b.step();
    const bool longer = i < size % slices;
    const auto end = at + size / slices + (longer ? 1 : 0);
    List one(at, end);
    at = end;
    if (fill != nullptr && !fill->is(Type::none) && !longer) one.push_back(*fill);
    out.push_back(Value::of(std::move(one)));
  }
  return Value::iterator(std::move(out));
}

Value filter_reverse(const Value& v, const Arguments&, Budget& b) {
  List items = items_of(v, b);
  std::reverse(items.begin(), items.end());
  if (!v.is(Type::string))
    return v.is(Form::iterator) ? Value::of(std::move(items)) : Value::iterator(std::move(items));
  MarkedText out;
  for (const Value& item : items) out.append(*item.string);
  return Value::of(std::move(out));
}

Value filter_join(const Value& v, const Arguments& a, Budget& b) {
  const Value* separator = a.get(0, "d");
  const Value* path = a.get(1, "attribute");
  const MarkedText between = separator == nullptr ? MarkedText() : to_text(*separator, b);
  MarkedText out;
  bool first = true;
  for (const Value& item : items_of(v, b)) {
    if (!first) out.append(between);
    first = false;
    const size_t before = out.size();
    out.append(to_text(path == nullptr ? item : path_of(item, *path, nullptr, b), b));
    b.bytes(between.size() + out.size() - before);
    if (out.size() > kMaxTextBytes) fail("it makes too much text");
  }
  return Value::of(std::move(out));
}

template <bool last>
Value edge(const Value& v, const Arguments&, Budget& b) {
  if (v.is(Form::iterator) && last) fail("last of what a filter goes through one by one");
  if (v.is(Type::list) && !v.is(Form::iterator) && !v.list->empty())
    return last ? v.list->back() : v.list->front();
  const List items = items_of(v, b);
  return items.empty() ? Value::undefined("an item of an empty list") : last ? items.back() : items.front();
}

template <int sign>
Value extreme(const Value& v, const Arguments& a, Budget& b) {
  const Key key{a.get(1, "attribute"), nullptr, flag(a, 0, "case_sensitive", false)};
  const List items = items_of(v, b);
  if (items.empty()) return Value::undefined("an item of an empty list");
  const Value* best = items.data();
  for (const Value& item : items) {
    if (compare(key.of(item, b), key.of(*best, b), b) * sign > 0) best = &item;
  }
  return *best;
}

Value filter_sum(const Value& v, const Arguments& a, Budget& b) {
  const Value* path = a.get(0, "attribute");
  const Value* start = a.get(1, "start");
  Value total = start == nullptr ? Value::of(int64_t{0}) : *start;
  if (total.is(Type::string)) fail("sum of texts");
  for (const Value& item : items_of(v, b)) {
    total = combine("+", total,
                    path == nullptr || path->is(Type::none) ? item : path_of(item, *path, nullptr, b), b);
  }
  return total;
}

Value filter_list(const Value& v, const Arguments&, Budget& b) { return Value::of(items_of(v, b)); }
Value filter_length(const Value& v, const Arguments&, Budget& b) { return Value::of(length_of(v, b)); }

Value filter_items(const Value& v, const Arguments&, Budget&) {
  List pairs;
  if (v.is(Type::undefined)) return Value::iterator(std::move(pairs));
  if (!v.is(DictKind::mapping)) fail("items of something that is no mapping");
  for (const auto& [key, value] : v.dict->items) pairs.push_back(Value::tuple({key, value}));
  return Value::iterator(std::move(pairs));
}

}  // namespace

const Filters& sequence_filters() {
  static const Filters table = {
      {"join", filter_join},
      {"items", filter_items},
      {"map", filter_map},
      {"sort", filter_sort},
      {"unique", filter_unique},
      {"reverse", filter_reverse},
      {"dictsort", filter_dictsort},
      {"groupby", filter_groupby},
      {"batch", filter_batch},
      {"slice", filter_slice},
      {"sum", filter_sum},
      {"list", filter_list},
      {"first", edge<false>},
      {"last", edge<true>},
      {"min", extreme<-1>},
      {"max", extreme<1>},
      {"length", filter_length},
      {"count", filter_length},
      {"select", choose<false, true>},
      {"reject", choose<false, false>},
      {"selectattr", choose<true, true>},
      {"rejectattr", choose<true, false>},
  };
  return table;
}

}  // namespace uhd::jinja
