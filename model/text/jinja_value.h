// Values of a chat template, with Python's meaning of truth, equality, order and text.
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
struct Value;
using List = std::vector<Value>;

struct Dict {
  std::vector<std::pair<std::string, Value>> items;  // in order of insertion
  bool is_namespace = false;                         // made by namespace(): the one thing that changes
  const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

enum class Type : uint8_t { undefined, none, boolean, integer, real, string, list, dict, macro, function };
enum class Function : uint8_t { raise_exception, strftime_now, range, make_namespace, make_dict };

// Cheap to copy: text, lists and dicts are shared.
struct Value {
  Type type = Type::undefined;
  int64_t integer = 0;  // boolean, integer
  double real = 0;
  std::string name;  // undefined: what was looked for
  std::shared_ptr<const MarkedText> string;
  std::shared_ptr<const List> list;
  std::shared_ptr<Dict> dict;
  const Node* macro = nullptr;
  Function function = Function::range;

  static Value undefined(std::string name);
  static Value none();
  static Value of(bool value);
  static Value of(int64_t value);
  static Value of(double value);
  static Value of(MarkedText value);
  static Value text(std::string_view value, bool typed = false) { return of(MarkedText(value, typed)); }
  static Value of(List value);
  static Value of(std::shared_ptr<Dict> value);
  static Value of(Function value);

  bool is(Type other) const { return type == other; }
  bool is_number() const { return type == Type::boolean || type == Type::integer || type == Type::real; }
  double number() const { return type == Type::real ? real : static_cast<double>(integer); }
  const std::string& str() const { return string->text; }
};

// What a template may use up; beyond it, an Error. Steps count evaluated nodes, bytes the text made or
// searched.
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
// -1, 0, 1 of numbers, texts; other types are an Error.
int compare(const Value& a, const Value& b, Budget& budget);
// As Python's str(); lists and dicts as repr().
MarkedText to_text(const Value& value, Budget& budget);
// As json.dumps(ensure_ascii=False); indent < 0: on one line.
MarkedText to_json(const Value& value, int64_t indent, Budget& budget);
// What `for` and filters iterate: items of a list, keys of a dict, characters of a text.
List items_of(const Value& value, Budget& budget);
int64_t length_of(const Value& value, Budget& budget);
// Places of the characters of a text, and its end.
std::vector<size_t> character_places(std::string_view text);

[[noreturn]] void fail(const std::string& message);

}  // namespace uhd::jinja
