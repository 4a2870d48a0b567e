// A Tokenizer turns text into ids and back, by the checkpoint's own files: SentencePiece `tokenizer.model`,
// or `tokenizer.json` (BPE: byte-level, or with byte fallback).
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

// A TextRange names bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
  bool operator==(const TextRange&) const = default;
};

// A TextDecoder gives the text of one growing sequence of ids, in constant time per id.
class TextDecoder {
 public:
  virtual ~TextDecoder() = default;
  // Adds one more id; ids out of range are skipped. Appends to `settled` the text that no later id can
  // change.
  virtual void push(int32_t id, std::string& settled) = 0;
  // Returns the text that would follow the settled text if the sequence ended here: an unfinished character
  // as U+FFFD, or bytes whose reading depends on later ones. It is valid until the next push.
  virtual std::string_view tail() const = 0;
};

// A Tokenizer is immutable after loading, and thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Returns one more than the largest id.
  virtual int vocabulary() const = 0;
  // Returns the ids of a text. `add_special` adds the prefix (and suffix) that the checkpoint asks for, such
  // as <s>. Special tokens written in the text become their ids, except where they touch a `literal` range
  // (ascending, disjoint): text that a user typed is never a special token. Invalid UTF-8 is read as U+FFFD.
  virtual std::vector<int32_t> encode_around(std::string_view text, bool add_special,
                                             std::span<const TextRange> literal) const = 0;
  // Returns the ids of a text. With `parse_special`, special tokens written in the text become their ids,
  // else they are plain text.
  std::vector<int32_t> encode(std::string_view text, bool add_special, bool parse_special) const;
  virtual std::unique_ptr<TextDecoder> decoder(bool skip_special) const = 0;
  // Returns UTF-8; ids out of range are skipped; invalid bytes become U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;
  // Returns the raw bytes of one token (which may be part of a character). Special tokens give their text,
  // ids out of range "".
  virtual std::string bytes_of_token(int32_t id) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  virtual bool is_special(int32_t id) const = 0;
  // Returns a bound b: a text of more than n * b bytes has more than n ids. 0 means that there is no such
  // bound, because rules of this checkpoint drop text, or join any length of it.
  virtual size_t max_bytes_per_id() const = 0;
  // Returns the ids that add_special puts before the text.
  virtual std::span<const int32_t> prefix() const = 0;
};

// Loads a tokenizer, chosen by the files that are present: `tokenizer.model` when tokenizer_config.json names
// a Llama tokenizer (or there is no tokenizer.json), else `tokenizer.json`. A crafted or broken file is an
// Error that names it.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace uhd
