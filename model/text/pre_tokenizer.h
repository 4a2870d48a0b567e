// The `pre_tokenizer` of a tokenizer.json: how a text is split into words before the merges of BPE.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// The alphabet of byte-level BPE: one printable character for each byte, as GPT-2 chose them.
const std::string& byte_level_character(unsigned char byte);
// The byte of such a character, or -1.
int byte_level_byte(uint32_t code_point);

// Immutable; thread-safe.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // the whole text is one word
  // ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Metaspace, Punctuation and Sequence; another is an
  // Error.
  PreTokenizer(const boost::json::value& json, const std::string& where);
  // first: the text stands at the beginning of what is encoded.
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
