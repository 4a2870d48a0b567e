// Turns tokens into text, as the `decoder` of a tokenizer.json says.
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace uhd {

// DecoderRules are the sum of the decoder's steps. They are immutable and thread-safe.
struct DecoderRules {
  bool byte_level = false;     // characters of the byte alphabet are read as UTF-8
  bool byte_fallback = false;  // runs of <0xE2> are read as UTF-8 or wholly as U+FFFD
  bool spaced = false;         // no decoder at all: tokens are joined by spaces
  std::vector<std::pair<std::string, std::string>> replacements;  // made in each token
  std::string space;  // Metaspace: it becomes a space; at the first token it is dropped
  bool drop_first_space = false;
  std::string strip;    // removed from the beginning of the text ...
  int strip_count = 0;  // ... at most so many times
};
// Reads ByteLevel, ByteFallback, Replace, Metaspace, Fuse, Strip (of the beginning) and Sequence; another
// type is an Error.
DecoderRules read_decoder_rules(const boost::json::value& json, const std::string& where);

// A TokenTextStream holds the state of one text; tokens come as the vocabulary writes them.
class TokenTextStream {
 public:
  explicit TokenTextStream(const DecoderRules& rules) : rules_(rules) {}
  void push(std::string_view token, std::string& settled);
  std::string_view tail() const;

 private:
  void push_text(std::string_view text, std::string& settled);
  void end_run(std::string& settled);
  void settle(std::string_view text, std::string& settled);

  const DecoderRules& rules_;
  Utf8Stream bytes_{Replacement::per_subpart};
  // For byte_fallback: the bytes of the run, the same as U+FFFD, and whether the run is valid so far.
  std::string run_;
  std::string run_replaced_;
  Utf8Stream run_check_{Replacement::per_byte};
  bool run_invalid_ = false;
  bool first_token_ = true;
  int stripped_ = 0;
  bool stripping_ = true;
};

}  // namespace uhd
