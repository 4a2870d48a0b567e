#include "model/text/token_map.h"

#include <bit>
#include <functional>

#include "base/error.h"

namespace uhd {

TokenMap::TokenMap(size_t tokens, size_t bytes) {
  check(tokens < kFree && bytes <= UINT32_MAX, "a vocabulary of ", tokens, " tokens and ", bytes, " bytes");
  texts_.reserve(bytes);
  ends_.reserve(tokens);
  ids_.reserve(tokens);
  slots_.resize(std::bit_ceil(tokens + tokens / 3 + 1), kFree);
}

size_t TokenMap::slot_of(std::string_view text) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>()(text) & mask;
  while (slots_[slot] != kFree && this->text(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

void TokenMap::add(std::string_view text, int32_t id) {
  check(ids_.size() < ids_.capacity() && text.size() <= texts_.capacity() - texts_.size(),
        "a vocabulary has no room for one more token");
  uint32_t& slot = slots_[slot_of(text)];
  if (slot != kFree) return;
  slot = static_cast<uint32_t>(ids_.size());
  texts_.append(text);
  ends_.push_back(static_cast<uint32_t>(texts_.size()));
  ids_.push_back(id);
}

std::optional<int32_t> TokenMap::find(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const uint32_t token = slots_[slot_of(text)];
  return token == kFree ? std::nullopt : std::optional(ids_[token]);
}

}  // namespace uhd
