#include "model/weights/pickle.h"

#include <cstring>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/error.h"

namespace uhd {
namespace {

constexpr size_t kMaxPickleBytes = size_t{16} << 20;
constexpr size_t kMaxNodes = 2'000'000;
// A pickle may name one text or tensor many times, by a few bytes each; here each is a copy.
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kMaxNameBytes = 1024;

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dict,
  global,
  storage,
  tensor,
  mark
};

struct Node {
  Kind kind = Kind::none;
  int64_t integer = 0;       // boolean, integer; storage: elements
  std::string_view text;     // text; global: "module name"; storage: key
  std::vector<Node*> items;  // tuple, list; dict: key, value, key, value, ...
  DType dtype = DType::f32;  // storage, tensor
  PickledTensor* tensor = nullptr;
};

std::optional<DType> storage_dtype(std::string_view global) {
  if (global == "torch FloatStorage") return DType::f32;
  if (global == "torch HalfStorage") return DType::f16;
  if (global == "torch BFloat16Storage") return DType::bf16;
  if (global == "torch LongStorage") return DType::i64;
  if (global == "torch IntStorage") return DType::i32;
  if (global == "torch CharStorage") return DType::i8;
  if (global == "torch ByteStorage" || global == "torch BoolStorage") return DType::u8;
  return std::nullopt;
}

bool known_global(std::string_view global) {
  return global == "torch._utils _rebuild_tensor_v2" || global == "torch._utils _rebuild_parameter" ||
         global == "collections OrderedDict" || storage_dtype(global).has_value();
}

class Interpreter {
 public:
  Interpreter(std::span<const std::byte> pickle, const std::string& where)
      : data_(reinterpret_cast<const char*>(pickle.data()), pickle.size()), where_(where) {
    require(data_.size() <= kMaxPickleBytes, where_, " has ", data_.size(), " bytes, more than ",
            kMaxPickleBytes);
  }

  std::vector<PickledTensor> run() {
    while (step()) {
    }
    const Node* root = pop();
    expect(root->kind == Kind::dict, "the outermost value is not a dict of tensors");
    expect(root->items.size() <= 2 * kMaxTensors, "too many tensors");
    std::vector<PickledTensor> result;
    for (size_t i = 0; i < root->items.size(); i += 2) {
      const Node* key = root->items[i];
      const Node* value = root->items[i + 1];
      expect(key->kind == Kind::text && key->text.size() <= kMaxNameBytes,
             "a key of the outermost dict is not a short text");
      require(value->kind == Kind::tensor, where_, ": the value of '", key->text, "' is not a tensor");
      result.push_back(*value->tensor);
      result.back().name = key->text;
    }
    return result;
  }

 private:
  // Runs one opcode; returns false at the end.
  bool step() {
    const auto op = static_cast<unsigned char>(take(1)[0]);
    switch (op) {
      case 0x80:  // PROTO
        expect(integer<uint8_t>() <= 5, "an unknown pickle protocol");
        return true;
      case 0x95:  // FRAME
        take(8);
        return true;
      case '.':
        return false;
      case '(':
        push(Kind::mark);
        return true;
      case '0':
        pop();
        return true;
      case '2':
        stack_.push_back(top());
        return true;
      case 'N':
        push(Kind::none);
        return true;
      case 0x88:
      case 0x89:
        push(Kind::boolean)->integer = op == 0x88;
        return true;
      case 'J':
        push(Kind::integer)->integer = integer<int32_t>();
        return true;
      case 'K':
        push(Kind::integer)->integer = integer<uint8_t>();
        return true;
      case 'M':
        push(Kind::integer)->integer = integer<uint16_t>();
        return true;
      case 0x8a:
        push_long();
        return true;
      case 'G':
        take(8);
        push(Kind::real);
        return true;
      case 'X':
        push_text(integer<uint32_t>());
        return true;
      case 0x8c:
        push_text(integer<uint8_t>());
        return true;
      case 0x8d:
        push_text(integer<uint64_t>());
        return true;
      case '}':
        push(Kind::dict);
        return true;
      case ']':
        push(Kind::list);
        return true;
      case ')':
        push(Kind::tuple);
        return true;
      case 't':
        push_tuple(pop_to_mark());
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push_tuple(pop_many(op - 0x84));
        return true;
      case 'q':
        memo_[integer<uint8_t>()] = top();
        return true;
      case 'r':
        memo_[integer<uint32_t>()] = top();
        return true;
      case 0x94:
        memo_[static_cast<uint32_t>(memo_.size())] = top();
        return true;
      case 'h':
        push_memo(integer<uint8_t>());
        return true;
      case 'j':
        push_memo(integer<uint32_t>());
        return true;
      case 's':
        add_items(pop_many(2));
        return true;
      case 'u':
        add_items(pop_to_mark());
        return true;
      case 'a':
        append(pop_many(1));
        return true;
      case 'e':
        append(pop_to_mark());
        return true;
      case 'c': {
        const std::string_view module = line();
        push_global(module, line());
        return true;
      }
      case 0x93: {
        const auto names = pop_many(2);
        expect(names[0]->kind == Kind::text && names[1]->kind == Kind::text, "a name that is not text");
        push_global(names[0]->text, names[1]->text);
        return true;
      }
      case 'Q':
        push_storage();
        return true;
      case 'R':
        reduce();
        return true;
      case 'b': {  // attributes of a state dict, such as its _metadata: of no use here
        pop();
        expect(top()->kind == Kind::dict, "attributes are set on something that is not a dict");
        return true;
      }
      default:
        throw Error(message(where_, ": the pickle uses opcode ", static_cast<int>(op),
                            ", which a file of tensors does not need; it was not executed"));
    }
  }

  void push_long() {
    const size_t bytes = integer<uint8_t>();
    expect(bytes <= 8, "a number of more than 64 bits");
    const std::string_view raw = take(bytes);
    int64_t value = bytes > 0 && (raw.back() & 0x80) != 0 ? -1 : 0;
    std::memcpy(&value, raw.data(), bytes);
    push(Kind::integer)->integer = value;
  }
  void push_text(uint64_t bytes) { push(Kind::text)->text = take(bytes); }
  void push_tuple(std::vector<Node*> items) { push(Kind::tuple)->items = std::move(items); }
  void push_memo(uint32_t key) {
    const auto found = memo_.find(key);
    expect(found != memo_.end(), "a memo that was not stored");
    stack_.push_back(found->second);
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string& global = names_.emplace_back(std::string(module) + ' ' + std::string(name));
    require(known_global(global), where_, ": the pickle names ", module, ".", name,
            ", which a file of tensors does not need; it was not executed");
    push(Kind::global)->text = global;
  }

  // ('storage', storage type, key, device, elements)
  void push_storage() {
    const Node* id = pop();
    expect(id->kind == Kind::tuple && id->items.size() == 5 && id->items[0]->kind == Kind::text &&
               id->items[0]->text == "storage" && id->items[1]->kind == Kind::global &&
               id->items[2]->kind == Kind::text && id->items[2]->text.size() <= kMaxNameBytes &&
               id->items[4]->kind == Kind::integer,
           "a persistent id that is not a storage");
    const auto dtype = storage_dtype(id->items[1]->text);
    expect(dtype.has_value(), "a storage of unknown type");
    Node* node = push(Kind::storage);
    node->text = id->items[2]->text;
    node->integer = id->items[4]->integer;
    node->dtype = *dtype;
  }

  void reduce() {
    const Node* arguments = pop();
    const Node* callee = pop();
    expect(callee->kind == Kind::global && arguments->kind == Kind::tuple,
           "a call of something that has no name");
    if (callee->text == "collections OrderedDict") {
      expect(arguments->items.empty(), "an OrderedDict with arguments");
      push(Kind::dict);
    } else if (callee->text == "torch._utils _rebuild_parameter") {
      expect(!arguments->items.empty() && arguments->items[0]->kind == Kind::tensor,
             "a parameter without a tensor");
      stack_.push_back(arguments->items[0]);
    } else {
      expect(callee->text == "torch._utils _rebuild_tensor_v2", "a call of a storage type");
      rebuild_tensor(arguments->items);
    }
  }

  // (storage, offset, sizes, strides, requires_grad, hooks)
  void rebuild_tensor(const std::vector<Node*>& arguments) {
    expect(
        arguments.size() >= 4 && arguments[0]->kind == Kind::storage && arguments[1]->kind == Kind::integer,
        "a tensor without storage and offset");
    expect(tensors_.size() < kMaxTensors, "too many tensors");
    const Node* storage = arguments[0];
    tensors_.push_back({.name = "",
                        .storage = std::string(storage->text),
                        .dtype = storage->dtype,
                        .storage_elements = storage->integer,
                        .offset = arguments[1]->integer,
                        .sizes = integers(arguments[2]),
                        .strides = integers(arguments[3])});
    expect(tensors_.back().sizes.size() == tensors_.back().strides.size(), "not as many strides as sizes");
    push(Kind::tensor)->tensor = &tensors_.back();
  }

  std::vector<int64_t> integers(const Node* node) const {
    expect(node->kind == Kind::tuple && node->items.size() <= 16, "sizes that are not a short tuple");
    std::vector<int64_t> result;
    for (const Node* item : node->items) {
      expect(item->kind == Kind::integer, "a size that is not a number");
      result.push_back(item->integer);
    }
    return result;
  }

  void add_items(const std::vector<Node*>& items) {
    Node* dict = top();
    expect(dict->kind == Kind::dict && items.size() % 2 == 0, "items set on something that is not a dict");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
  }
  void append(const std::vector<Node*>& items) {
    Node* list = top();
    expect(list->kind == Kind::list, "items appended to something that is not a list");
    list->items.insert(list->items.end(), items.begin(), items.end());
  }

  Node* push(Kind kind) {
    expect(nodes_.size() < kMaxNodes, "too many values");
    nodes_.push_back({.kind = kind});
    stack_.push_back(&nodes_.back());
    return stack_.back();
  }
  Node* top() const {
    expect(!stack_.empty(), "an empty stack");
    return stack_.back();
  }
  Node* pop() {
    Node* node = top();
    stack_.pop_back();
    return node;
  }
  std::vector<Node*> pop_many(size_t count) {
    expect(stack_.size() >= count, "an empty stack");
    std::vector<Node*> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<Node*> pop_to_mark() {
    size_t count = 0;
    while (count < stack_.size() && stack_[stack_.size() - 1 - count]->kind != Kind::mark) ++count;
    auto items = pop_many(count);
    pop();  // the mark; fails if there was none
    return items;
  }

  std::string_view take(uint64_t bytes) {
    expect(bytes <= data_.size() - at_, "the pickle ends too early");
    const auto part = data_.substr(at_, bytes);
    at_ += bytes;
    return part;
  }
  template <class T>
  T integer() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view line() {
    const size_t end = data_.find('\n', at_);
    expect(end != std::string_view::npos, "the pickle ends too early");
    const auto text = take(end - at_);
    take(1);
    return text;
  }
  void expect(bool condition, std::string_view fault) const {
    require(condition, where_, ": not a pickle of tensors: ", fault);
  }

  std::string_view data_;
  const std::string& where_;
  size_t at_ = 0;
  std::deque<Node> nodes_;  // addresses stay
  std::deque<std::string> names_;
  std::deque<PickledTensor> tensors_;
  std::vector<Node*> stack_;
  std::unordered_map<uint32_t, Node*> memo_;
};

}  // namespace

std::vector<PickledTensor> read_tensor_pickle(std::span<const std::byte> pickle, const std::string& where) {
  return Interpreter(pickle, where).run();
}

}  // namespace uhd
