// Turns ids into text increments that never split a UTF-8 character, and holds text back until stop strings
// are decided.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// Each running sequence has one, which takes constant time per id. An increment is given out when the text so
// far does not end in U+FFFD and still begins with the text given out. The increments joined, with flush(),
// equal decode() of all ids (up to a stop string).
class Detokenizer {
 public:
  // With `keep_stop` the stop string is given out too.
  Detokenizer(const std::shared_ptr<const Tokenizer>& tokenizer, std::vector<std::string> stop_strings,
              bool skip_special = true, bool keep_stop = false);

  // Returns the text that became certain with this id. If stopped() is true after it, a stop string was met;
  // the text behind it is not given out, and neither is it without `keep_stop`. If `may_stop` is false, no
  // stop string ends in the text of this id.
  std::string push(int32_t id, bool may_stop = true);
  bool stopped() const { return stopped_; }
  const std::string& stopped_by() const { return stopped_by_; }  // the stop string that was met
  // Returns the rest, at the end of a sequence.
  std::string flush();

 private:
  std::string release(std::string&& text, bool last);
  size_t find_stop();

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<TextDecoder> decoder_;
  std::vector<std::string> stop_strings_;
  std::string pending_;  // settled, but not given out: it ends in U+FFFD
  std::string ahead_;    // the part of the decoder's tail that is given out already
  std::string held_;     // certain, but may be the start of a stop string
  size_t immune_ = 0;    // bytes of held_ in which no stop string ends
  bool may_stop_ = true;
  bool broken_ = false;  // the text changed under what was given out: nothing more follows
  bool stopped_ = false;
  const bool keep_stop_;
  std::string stopped_by_;
};

}  // namespace uhd
