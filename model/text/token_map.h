// The tokens of a vocabulary with their ids: texts in one piece, and a table that finds the id of a text.
// Vocabularies have a hundred thousand short texts, which cost several times their bytes as nodes of their
// own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// Filled once, then read by any thread.
class TokenMap {
 public:
  TokenMap() = default;
  // Makes room for so many tokens of so many bytes together; more than that may not be added.
  TokenMap(size_t tokens, size_t bytes);

  // Adds a token after the others. If its text is there already, the first one stays.
  void add(std::string_view text, int32_t id);
  std::optional<int32_t> find(std::string_view text) const;

  // Tokens in the order in which they were added.
  size_t size() const { return ids_.size(); }
  std::string_view text(size_t i) const {
    return std::string_view(texts_).substr(i == 0 ? 0 : ends_[i - 1], ends_[i] - (i == 0 ? 0 : ends_[i - 1]));
  }
  int32_t id(size_t i) const { return ids_[i]; }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  // Returns the slot of a text, or the free one where it would be.
  size_t slot_of(std::string_view text) const;

  std::string texts_;
  std::vector<uint32_t> ends_;  // the ends of the texts
  std::vector<int32_t> ids_;
  std::vector<uint32_t> slots_;  // numbers of tokens; a power of two, a quarter of them free at least
};

}  // namespace uhd
