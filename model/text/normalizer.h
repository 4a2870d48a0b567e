// A Normalizer changes a text before it is split into words, as the `normalizer` of a tokenizer.json says.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// A Normalizer is immutable and thread-safe.
class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  // Reads NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents and Sequence; another type
  // is an Error.
  Normalizer(const boost::json::value& json, const std::string& where);
  std::string apply(std::string_view text) const;
  bool empty() const { return steps_.empty(); }
  // Returns how many times longer than its normal form a text can be, in bytes; 0 means any number of times.
  size_t max_shrink() const { return max_shrink_; }

 private:
  using Step = std::function<std::string(std::string)>;
  void add(const boost::json::value& json, const std::string& where, int depth);
  std::vector<Step> steps_;
  size_t max_shrink_ = 1;
};

}  // namespace uhd
