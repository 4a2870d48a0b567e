#include "model/text/sentencepiece_rules.h"

#include <cstdint>
#include <optional>

namespace uhd {
namespace {

// Fields of ModelProto and NormalizerSpec in sentencepiece_model.proto.
constexpr uint64_t kNormalizerSpec = 3;
constexpr uint64_t kPrecompiledMap = 2;
constexpr uint64_t kRemoveExtraWhitespaces = 4;

// One field of a protocol buffer after another.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : bytes_(bytes) {}

  // False at the end, or where the bytes are not a message.
  bool next() {
    if (bytes_.empty()) return false;
    const auto key = varint();
    if (!key) return false;
    field = *key >> 3;
    switch (*key & 7) {
      case 0:
        return take_number();
      case 1:
        return take(8);
      case 2: {
        const auto length = varint();
        return length && take(*length);
      }
      case 5:
        return take(4);
      default:
        return false;
    }
  }

  uint64_t field = 0;
  uint64_t number = 0;    // of a varint
  std::string_view data;  // of the others

 private:
  std::optional<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }
  bool take_number() {
    const auto value = varint();
    number = value.value_or(0);
    return value.has_value();
  }
  bool take(uint64_t length) {
    if (length > bytes_.size()) return false;
    data = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return true;
  }

  std::string_view bytes_;
};

}  // namespace

bool sentencepiece_keeps_text(std::string_view model) {
  bool maps = false;
  bool joins_spaces = true;  // what the format says when nothing is written
  for (ProtoReader top(model); top.next();) {
    if (top.field != kNormalizerSpec) continue;
    for (ProtoReader spec(top.data); spec.next();) {
      if (spec.field == kPrecompiledMap) maps = maps || !spec.data.empty();
      if (spec.field == kRemoveExtraWhitespaces) joins_spaces = spec.number != 0;
    }
  }
  return !maps && !joins_spaces;
}

}  // namespace uhd
