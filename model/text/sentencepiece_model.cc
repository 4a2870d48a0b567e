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

  // Returns false at the end, and where the bytes are no message.
  bool next() {
    if (rest_.empty()) return false;
    broken_ = !read();
    return !broken_;
  }
  bool broken() const { return broken_; }
  // A field that is written as another type than its own is an unknown field.
  bool is_value(uint64_t number) const { return key_ == (number << 3 | kVarint); }
  bool is_bytes(uint64_t number) const { return key_ == (number << 3 | kBytes); }
  uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

 private:
  static constexpr uint64_t kVarint = 0, kBytes = 2;

  bool read() {
    const auto key = varint();
    if (!key) return false;
    key_ = *key;
    value_ = 0;
    bytes_ = {};
    switch (key_ & 7) {
      case kVarint:
        return take_varint();
      case 1:
        return skip(8);
      case kBytes: {
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
  uint64_t key_ = 0;  // the field's number and type
  uint64_t value_ = 0;
  std::string_view bytes_;
  bool broken_ = false;
};

}  // namespace

SentencePieceRules read_sentencepiece_rules(std::string_view model) {
  constexpr uint64_t kTrainer = 2, kNormalizer = 3, kModelType = 3, kBpe = 2, kSuffix = 24;
  constexpr uint64_t kCharacterMap = 2, kRemoveSpaces = 4, kEscapeSpaces = 5;
  SentencePieceRules rules;
  Fields fields(model);
  while (fields.next()) {
    if (!fields.is_bytes(kTrainer) && !fields.is_bytes(kNormalizer)) continue;
    Fields inner(fields.bytes());
    while (inner.next()) {
      if (fields.is_bytes(kTrainer)) {
        if (inner.is_value(kModelType)) rules.bpe = inner.value() == kBpe;
        if (inner.is_value(kSuffix)) rules.suffix = inner.value() != 0;
      } else {
        if (inner.is_bytes(kCharacterMap)) rules.maps = !inner.bytes().empty();
        if (inner.is_value(kRemoveSpaces)) rules.joins_spaces = inner.value() != 0;
        if (inner.is_value(kEscapeSpaces)) rules.escapes_spaces = inner.value() != 0;
      }
    }
    if (inner.broken()) return {};
  }
  if (fields.broken()) return {};
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
