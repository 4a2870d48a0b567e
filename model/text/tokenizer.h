// Bytes to ids and back, by the checkpoint's own files: SentencePiece `tokenizer.model`, or `tokenizer.json`
// (BPE: byte-level, or with byte fallback).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// Immutable after loading; thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int vocabulary() const = 0;
  // add_special: the prefix (and suffix) that the checkpoint asks for, such as <s>. Special tokens written in
  // the text become their ids when parse_special is set, else they are plain text.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special, bool parse_special) const = 0;
  // UTF-8; ids out of range are skipped; invalid bytes become U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;
  // The raw bytes of one token (may be part of a character); special tokens give their text.
  virtual std::string bytes_of_token(int32_t id) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  virtual bool is_special(int32_t id) const = 0;
};

// Chooses by the files that are present; a crafted or broken file is an Error naming it.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace uhd
