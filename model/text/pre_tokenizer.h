// A PreTokenizer splits a text into words before the merges of BPE, as the `pre_tokenizer` of a
// tokenizer.json says.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// Returns a character of the alphabet of byte-level BPE, which has one printable character for each byte, as
// GPT-2 chose them.
const std::string& byte_level_character(unsigned char byte);
// Returns the byte of such a character, or -1.
int byte_level_byte(uint32_t code_point);

// A PreTokenizer is immutable and thread-safe.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // makes the whole text one word
  // Reads ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Metaspace, Punctuation and Sequence; another
  // type is an Error.
  PreTokenizer(const boost::json::value& json, const std::string& where);
  // Splits the text. `first` is true if it stands at the beginning of the encoded text.
  std::vector<std::string> split(std::string text, bool first) const;
  bool drops_text() const { return drops_text_; }

 private:
  using Words = std::vector<std::string>;
  using Step = std::function<void(const std::string& word, bool first, Words& out)>;
  void add(const boost::json::value& json, const std::string& where, int depth);
  void add_byte_level(const boost::json::value& json, const std::string& where);
  void add_split(const boost::json::value& json, const std::string& where);
  void add_metaspace(const boost::json::value& json, const std::string& where);
  std::vector<Step> steps_;
  bool drops_text_ = false;
};

}  // namespace uhd
