#include "model/text/jinja/builtins.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "model/text/jinja/filters.h"
#include "model/text/jinja/text.h"

namespace uhd::jinja {
namespace {

constexpr std::array<std::string_view, 5> kMappingMethods = {"items", "keys", "values", "get", "copy"};
constexpr std::array<std::string_view, 3> kListMethods = {"index", "count", "copy"};
// Python's other methods of a mapping: they would change it.
constexpr std::array<std::string_view, 6> kChangingMethods = {"clear",      "pop",    "popitem",
                                                              "setdefault", "update", "fromkeys"};

template <class Names>
bool holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool has_method(const Value& object, std::string_view name) {
  switch (object.type) {
    case Type::string:
      return is_text_method(name);
    case Type::list:
      return (object.is(Form::list) || object.is(Form::tuple) || object.is(Form::range)) &&
             holds(kListMethods, name) && (object.is(Form::list) || name != "copy");
    case Type::dict:
      if (object.is(DictKind::mapping)) return holds(kMappingMethods, name);
      if (object.is(DictKind::loop)) return name == "cycle" || name == "changed";
      return object.is(DictKind::cycler) && (name == "next" || name == "reset");
    default:
      return false;
  }
}

Value view(std::string name, List items) {
  Value value = Value::of(std::move(items));
  value.form = Form::view;
  value.name = std::move(name);
  return value;
}

Value mapping_method(const Value& object, const std::string& name, const Arguments& arguments,
                     Budget& budget) {
  if (name == "items") return view("dict_items", items_of(apply_filter("items", object, {}, budget), budget));
  if (name == "keys") return view("dict_keys", items_of(object, budget));
  if (name == "values") {
    List values;
    for (const auto& [key, value] : object.dict->items) values.push_back(value);
    return view("dict_values", std::move(values));
  }
  if (name == "copy") return Value::of(std::make_shared<Dict>(*object.dict));
  const Value* key = arguments.get(0, "key");
  if (key == nullptr) fail("get needs a key");
  const Value* found = object.dict->find(*key);
  const Value* fallback = arguments.get(1, "default");
  return found != nullptr ? *found : fallback != nullptr ? *fallback : Value::none();
}

Value list_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
  if (name == "copy") return object;
  const Value* value = arguments.get(0, "value");
  if (value == nullptr) fail(name + " needs a value");
  int64_t count = 0;
  for (size_t i = 0; i < object.list->size(); ++i) {
    if (!equal((*object.list)[i], *value, budget)) continue;
    if (name == "index") return Value::of(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") fail("index of a value that is not in the list");
  return Value::of(count);
}

const Value& member(const Dict& dict, std::string_view name) { return *dict.find(name); }

// loop.cycle takes its turn from the loop; a cycler takes it from the value it gave before.
Value cycle_method(const Value& object, const std::string& name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) fail("cycle needs a value");
    const auto turn = static_cast<size_t>(member(*object.dict, "index0").integer);
    return arguments.positional[turn % arguments.positional.size()];
  }
  Dict& cycler = *object.dict;
  const List& items = *member(cycler, " items").list;
  const auto place = static_cast<size_t>(name == "reset" ? 0 : member(cycler, " place").integer);
  const auto after = name == "reset" ? 0 : (place + 1) % items.size();
  cycler.set(" place", Value::of(static_cast<int64_t>(after)));
  cycler.set("current", items[after]);
  return name == "reset" ? Value::none() : items[place];
}

Value current_time(const Arguments& arguments) {
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

Value make_range(const Arguments& arguments, Budget& budget) {
  const List& given = arguments.positional;
  if (given.empty() || given.size() > 3) fail("range needs one to three numbers");
  std::vector<int64_t> numbers;
  for (const Value& value : given) numbers.push_back(integer_of(value, "a bound of range"));
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
  Value range = Value::of(std::move(list));
  range.form = Form::range;
  range.name = "range(" + std::to_string(begin) + ", " + std::to_string(end) +
               (step == 1 ? "" : ", " + std::to_string(step)) + ")";
  return range;
}

Value make_dict(const Arguments& arguments, bool name_space, Budget& budget) {
  auto dict = std::make_shared<Dict>();
  if (arguments.positional.size() > 1) fail("dict takes one value and named ones");
  for (const Value& from : arguments.positional) {
    const Value pairs = from.is(Type::dict) ? apply_filter("items", from, {}, budget) : from;
    for (const Value& pair : items_of(pairs, budget)) {
      const List parts = items_of(pair, budget);
      if (parts.size() != 2) fail("dict needs pairs");
      dict->set(parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : arguments.named) dict->set(key, value);
  dict->kind = name_space ? DictKind::name_space : DictKind::mapping;
  return Value::of(std::move(dict));
}

Value make_cycler(const Arguments& arguments) {
  if (arguments.positional.empty()) fail("cycler needs a value");
  auto dict = std::make_shared<Dict>();
  dict->kind = DictKind::cycler;
  dict->set(" items", Value::of(arguments.positional));
  dict->set(" place", Value::of(int64_t{0}));
  dict->set("current", arguments.positional[0]);
  return Value::of(std::move(dict));
}

Value make_joiner(const Arguments& arguments) {
  const Value* separator = arguments.get(0, "sep");
  auto dict = std::make_shared<Dict>();
  dict->kind = DictKind::joiner;
  dict->set(" separator", separator == nullptr ? Value::text(", ") : *separator);
  dict->set(" used", Value::of(false));
  return Value::of(std::move(dict));
}

}  // namespace

const Value* Arguments::get(std::string_view name) const {
  const auto found =
      std::find_if(named.begin(), named.end(), [&](const auto& one) { return one.first == name; });
  return found == named.end() ? nullptr : &found->second;
}

const Value* Arguments::get(size_t place, std::string_view name) const {
  return place < positional.size() ? &positional[place] : get(name);
}

Arguments Arguments::from(size_t place) const {
  Arguments rest{{}, named};
  for (size_t i = place; i < positional.size(); ++i) rest.positional.push_back(positional[i]);
  return rest;
}

int64_t integer_of(const Value& value, const char* what) {
  if (!value.is_whole()) fail(std::string(what) + " must be a whole number");
  return value.integer;
}

bool flag(const Arguments& arguments, size_t place, const char* name, bool fallback) {
  const Value* value = arguments.get(place, name);
  return value == nullptr ? fallback : truth(*value);
}

bool is_filter(const std::string& name) {
  return value_filters().contains(name) || sequence_filters().contains(name);
}

bool is_method(const std::string& name) {
  return is_text_method(name) || holds(kMappingMethods, name) || holds(kListMethods, name) ||
         name == "cycle" || name == "changed" || name == "next" || name == "reset";
}

std::optional<Function> function_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Function>, 7> kFunctions = {
      {{"range", Function::range},
       {"namespace", Function::make_namespace},
       {"dict", Function::make_dict},
       {"joiner", Function::make_joiner},
       {"cycler", Function::make_cycler},
       {"raise_exception", Function::raise_exception},
       {"strftime_now", Function::strftime_now}}};
  for (const auto& [known, function] : kFunctions) {
    if (known == name) return function;
  }
  return std::nullopt;
}

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget) {
  for (const Filters* table : {&value_filters(), &sequence_filters()}) {
    if (const auto found = table->find(name); found != table->end())
      return found->second(value, arguments, budget);
  }
  fail("the filter '" + name + "' is not supported");
}

Value call_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
  if (!has_method(object, name)) fail("the method '" + name + "' is not supported on this value");
  if (object.is(Type::string)) return text_method(object, name, arguments, budget);
  if (object.is(Type::list)) return list_method(object, name, arguments, budget);
  if (object.is(DictKind::mapping)) return mapping_method(object, name, arguments, budget);
  return cycle_method(object, name, arguments);
}

Value call_function(Function function, const Arguments& arguments, Budget& budget) {
  switch (function) {
    case Function::raise_exception: {
      const Value* text = arguments.get(0, "message");
      fail(text == nullptr ? "it refuses this conversation" : to_text(*text, budget).text);
    }
    case Function::strftime_now:
      return current_time(arguments);
    case Function::range:
      return make_range(arguments, budget);
    case Function::make_joiner:
      return make_joiner(arguments);
    case Function::make_cycler:
      return make_cycler(arguments);
    default:
      return make_dict(arguments, function == Function::make_namespace, budget);
  }
}

Value call_joiner(Dict& joiner) {
  const bool used = truth(member(joiner, " used"));
  joiner.set(" used", Value::of(true));
  return used ? member(joiner, " separator") : Value::text("");
}

void place_loop(Dict& loop, const List& items, size_t i, int depth) {
  const auto at = static_cast<int64_t>(i);
  const auto count = static_cast<int64_t>(items.size());
  loop.kind = DictKind::loop;
  loop.set("index", Value::of(at + 1));
  loop.set("index0", Value::of(at));
  loop.set("revindex", Value::of(count - at));
  loop.set("revindex0", Value::of(count - at - 1));
  loop.set("first", Value::of(at == 0));
  loop.set("last", Value::of(at + 1 == count));
  loop.set("length", Value::of(count));
  loop.set("depth", Value::of(int64_t{depth}));
  loop.set("depth0", Value::of(int64_t{depth} - 1));
  loop.set("previtem", i > 0 ? items[i - 1] : Value::undefined("previtem"));
  loop.set("nextitem", i + 1 < items.size() ? items[i + 1] : Value::undefined("nextitem"));
}

Value subscript(const Value& object, const Value& key, Budget& budget) {
  if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
  if (object.is(DictKind::mapping)) {
    const Value* found = object.dict->find(key);
    if (found != nullptr) return *found;
  } else if (key.is_whole() &&
             (object.is(Type::string) ||
              (object.is(Type::list) && !object.is(Form::iterator) && !object.is(Form::view)))) {
    const int64_t size = length_of(object, budget);
    const int64_t place = key.integer < 0 ? key.integer + size : key.integer;
    if (place < 0 || place >= size) return Value::undefined("a place outside of a list");
    if (object.is(Type::list)) return (*object.list)[static_cast<size_t>(place)];
    const auto places = character_places(object.str());
    const auto at = static_cast<size_t>(place);
    return Value::of(object.string->substr(places[at], places[at + 1] - places[at]));
  }
  return key.is(Type::string) ? attribute(object, key.str(), budget) : Value::undefined("an item");
}

Value attribute(const Value& object, const std::string& name, Budget&) {
  if (object.is(Type::undefined)) fail("'" + object.name + "' is undefined");
  if (has_method(object, name)) return Value::bound_method(object, name);
  const bool mapping = object.is(DictKind::mapping);
  if (mapping && holds(kChangingMethods, name)) fail("'" + name + "' would change a mapping");
  const Value* found = object.dict != nullptr && !name.starts_with(' ') ? object.dict->find(name) : nullptr;
  return found == nullptr ? Value::undefined(name) : *found;
}

bool contains(const Value& container, const Value& value, Budget& budget) {
  if (container.is(Type::string)) {
    if (!value.is(Type::string)) fail("'in' a text needs a text");
    budget.bytes(container.string->size());
    return container.str().find(value.str()) != std::string::npos;
  }
  if (container.is(DictKind::mapping)) return container.dict->find(value) != nullptr;
  if (container.is(Type::undefined)) return false;
  if (!container.is(Type::list)) fail("'in' needs a list, a mapping or a text");
  const List items = items_of(container, budget);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& item) { return equal(item, value, budget); });
}

}  // namespace uhd::jinja
