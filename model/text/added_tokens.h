// Added tokens stand beside the vocabulary's own rules: control tokens such as <|im_end|>, and others that a
// checkpoint adds. They are cut out of a text before the rest is tokenised.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = false;
  bool normalized = false;   // is searched in the normalised text
  bool lstrip = false;       // takes the whitespace before it
  bool rstrip = false;       // takes the whitespace after it
  bool single_word = false;  // matches only where no word character touches it
};

// Reads one entry of `added_tokens` or `added_tokens_decoder`.
AddedToken read_added_token(const boost::json::value& json, int32_t id, const std::string& where);

// A TextPart is an added token, or the plain text between two.
struct TextPart {
  TextRange range;
  const AddedToken* token = nullptr;  // null for plain text
};

// Finds tokens in a text, leftmost first, and the longest of those.
class AddedTokenFinder {
 public:
  // Adds a token, which must outlive the finder; `needle` is the text to find.
  void add(const AddedToken& token, std::string_view needle);
  // Splits the text. Special tokens are not found where they touch a literal range; ranges count from the
  // text's beginning.
  std::vector<TextPart> split(std::string_view text, std::span<const TextRange> literal) const;

 private:
  struct Node {
    std::map<unsigned char, uint32_t> next;
    const AddedToken* token = nullptr;
  };
  const AddedToken* longest(std::string_view text, size_t at, bool special, size_t& bytes) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
};

}  // namespace uhd
