#include "model/text/sentencepiece_model.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace uhd {
namespace {

// The fields of one message, one after the other.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  // Returns false at the end, and if the bytes are no message.
  bool next() {
    const auto key = varint();
    if (!key) return false;
    number_ = *key >> 3;
    value_ = 0;
    bytes_ = {};
    switch (*key & 7) {
      case 0:
        return take_varint();
      case 1:
        return skip(8);
      case 2: {
        const auto size = varint();
        if (!size || *size > rest_.size()) return false;
        bytes_ = rest_.substr(0, *size);
        return skip(*size);
      }
      case 5:
        return skip(4);
      default:
        return false;
    }
  }
  uint64_t number() const { return number_; }
  uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool take_varint() {
    const auto value = varint();
    value_ = value.value_or(0);
    return value.has_value();
  }
  bool skip(size_t count) {
    if (count > rest_.size()) return false;
    rest_.remove_prefix(count);
    return true;
  }
  std::optional<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::string_view rest_;
  uint64_t number_ = 0;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

}  // namespace

SentencePieceRules read_sentencepiece_rules(std::string_view model) {
  constexpr uint64_t kTrainer = 2, kNormalizer = 3, kModelType = 3, kBpe = 2, kSuffix = 24;
  constexpr uint64_t kCharacterMap = 2, kRemoveSpaces = 4, kEscapeSpaces = 5;
  SentencePieceRules rules;
  for (Fields fields(model); fields.next();) {
    for (Fields inner(fields.bytes()); inner.next();) {
      if (fields.number() == kTrainer && inner.number() == kModelType) rules.bpe = inner.value() == kBpe;
      if (fields.number() == kTrainer && inner.number() == kSuffix) rules.suffix = inner.value() != 0;
      if (fields.number() != kNormalizer) continue;
      if (inner.number() == kCharacterMap) rules.maps = !inner.bytes().empty();
      if (inner.number() == kRemoveSpaces) rules.joins_spaces = inner.value() != 0;
      if (inner.number() == kEscapeSpaces) rules.escapes_spaces = inner.value() != 0;
    }
  }
  return rules;
}

bool spaces_begin_pieces(const std::vector<std::string>& pieces) {
  return std::all_of(pieces.begin(), pieces.end(), [](const std::string& piece) {
    size_t at = 0;
    while (piece.compare(at, kPieceSpace.size(), kPieceSpace) == 0) at += kPieceSpace.size();
    return piece.find(kPieceSpace, at) == std::string::npos && piece.find(' ') == std::string::npos;
  });
}

size_t next_cut(std::string_view text, size_t from) {
  for (size_t at = text.find(' ', std::max<size_t>(from, 1)); at != std::string_view::npos;
       at = text.find(' ', at + 1)) {
    if (at + 1 == text.size()) break;
    if (text[at - 1] != ' ' && !text.substr(0, at).ends_with(kPieceSpace)) return at;
  }
  return text.size();
}

}  // namespace uhd
