// A Value is a value of a chat template, with Python's meaning of truth, equality, order and text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/text/marked_text.h"

namespace uhd::jinja {

struct Node;
struct Closure;
struct Value;
using List = std::vector<Value>;

// The kinds after `mapping` are objects with members of their own; all but a mapping can change.
enum class DictKind : uint8_t { mapping, name_space, loop, joiner, cycler };

struct Dict {
  std::vector<std::pair<Value, Value>> items;  // entries in order of insertion
  DictKind kind = DictKind::mapping;
  std::string watched;            // the name of a member
  mutable bool was_read = false;  // true once that member has been looked up
  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  void set(std::string_view key, Value value);
  void set(const Value& key, Value value);  // a key that Python cannot hash is an Error
};

enum class Type : uint8_t { undefined, none, boolean, integer, real, string, list, dict, macro, function };
enum class Function : uint8_t {
  raise_exception,
  strftime_now,
  range,
  make_namespace,
  make_dict,
  make_joiner,
  make_cycler,
  bound_method
};
// A Form says what a Value of Type::list is in Python. An iterator is true even when it is empty, and can be
// read once.
enum class Form : uint8_t { list, tuple, range, view, iterator };

// A Value is cheap to copy: text, lists and dicts are shared.
struct Value {
  Type type = Type::undefined;
  Form form = Form::list;
  bool escaped = false;  // string: its HTML characters are escaped, or it is declared safe
  int64_t integer = 0;   // boolean, integer; bound_method: the object's Type
  double real = 0;
  // undefined: the name that was looked up; range and view: as printed; bound_method: its name.
  std::string name;
  std::shared_ptr<const MarkedText> string;
  std::shared_ptr<const List> list;
  std::shared_ptr<bool> spent;  // iterator: true once it has been read
  std::shared_ptr<Dict> dict;
  const Node* macro = nullptr;
  std::shared_ptr<const Closure> closure;  // macro: the variables around it
  Function function = Function::range;

  static Value undefined(std::string name);
  static Value none();
  static Value of(bool value);
  static Value of(int64_t value);
  static Value of(double value);
  static Value of(MarkedText value);
  static Value text(std::string_view value, Author author = kTemplateWrote) {
    return of(MarkedText(value, author));
  }
  static Value of(List value);
  static Value tuple(List value);
  static Value iterator(List value);
  static Value of(std::shared_ptr<Dict> value);
  static Value of(Function value);
  static Value bound_method(const Value& object, std::string name);

  bool is(Type other) const { return type == other; }
  bool is(Form other) const { return type == Type::list && form == other; }
  bool is(DictKind kind) const { return type == Type::dict && dict->kind == kind; }
  bool is_number() const { return type == Type::boolean || type == Type::integer || type == Type::real; }
  bool is_whole() const { return type == Type::boolean || type == Type::integer; }
  double number() const { return type == Type::real ? real : static_cast<double>(integer); }
  const std::string& str() const { return string->text; }
};

// A Budget limits what a template may use up; exceeding it is an Error. Steps count evaluated nodes; bytes
// count the text that is made or searched.
class Budget {
 public:
  void step();
  void bytes(size_t count);

 private:
  int64_t steps_ = 2'000'000;
  int64_t bytes_ = int64_t{512} << 20;
};

inline constexpr size_t kMaxTextBytes = size_t{64} << 20;
inline constexpr int64_t kMaxListItems = 100'000;

bool truth(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget, int depth = 0);
// Returns -1, 0 or 1 for numbers, texts or lists; other types are an Error.
int compare(const Value& a, const Value& b, Budget& budget, int depth = 0);
// Works like Python's str(); lists and dicts as repr().
MarkedText to_text(const Value& value, Budget& budget);
MarkedText to_repr(const Value& value, Budget& budget);
std::string real_text(double value);  // works like Python's repr()
// Returns what `for` and filters iterate: the items of a list, the keys of a dict, the characters of a text.
List items_of(const Value& value, Budget& budget);
int64_t length_of(const Value& value, Budget& budget);
// Returns the positions of a text's characters, and its end.
std::vector<size_t> character_places(std::string_view text);

[[noreturn]] void fail(const std::string& message);

}  // namespace uhd::jinja
