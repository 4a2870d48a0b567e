// Byte-pair encoding joins a word's characters pair by pair, the pair of lowest rank first.
#pragma once

#include <array>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/text/token_map.h"

namespace uhd {

// A Bpe is immutable after construction, and thread-safe.
class Bpe {
 public:
  // Reads the `model` of a tokenizer.json.
  Bpe(const boost::json::value& json, const std::string& where);

  // Appends the ids of one word of valid UTF-8. It takes n log n steps in the word's length.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;
  std::optional<int32_t> id_of(std::string_view token) const;
  // Returns true if every character has at least an id of its own, so that none is dropped or joined to its
  // unknown neighbours. With `byte_level`, words are written in the alphabet of byte-level BPE.
  bool keeps_text(bool byte_level) const;
  const TokenMap& vocabulary() const { return tokens_; }

 private:
  struct Merge {
    int32_t rank = 0;
    int32_t id = 0;
  };
  struct Symbol {
    int32_t id = 0;
    int32_t previous = -1;
    int32_t next = -1;
  };
  void read_vocabulary(const boost::json::value& json, const std::string& where);
  void read_merges(const boost::json::value& json, const std::string& where);
  std::vector<Symbol> symbols_of(std::string_view word) const;
  void merge(std::vector<Symbol>& symbols) const;
  const Merge* find_merge(int32_t left, int32_t right) const;

  TokenMap tokens_;
  std::unordered_map<uint64_t, Merge> merges_;  // merges, found by both ids
  std::optional<int32_t> unk_;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
  std::optional<std::array<int32_t, 256>> byte_ids_;  // byte_fallback: <0x00> to <0xFF>
};

}  // namespace uhd
