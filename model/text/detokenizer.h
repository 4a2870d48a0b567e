// Ids to text increments that never split a UTF-8 character, with stop strings held back until they are
// decided.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// One per running sequence; constant time per id. An increment is given out when the text so far does not end
// in U+FFFD and still begins with what was given out. The increments joined, with flush(), equal decode() of
// all ids (up to a stop string).
class Detokenizer {
 public:
  Detokenizer(const std::shared_ptr<const Tokenizer>& tokenizer, std::vector<std::string> stop_strings,
              bool skip_special = true);

  // The text that became certain with this id. stopped() after it: a stop string was met; neither it nor what
  // follows is given out. `may_stop` false: no stop string ends in the text of this id.
  std::string push(int32_t id, bool may_stop = true);
  bool stopped() const { return stopped_; }
  // The rest, at the end of a sequence.
  std::string flush();

 private:
  std::string release(std::string&& text, bool last);
  size_t find_stop() const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<TextDecoder> decoder_;
  std::vector<std::string> stop_strings_;
  std::string pending_;  // settled, but not given out: it ends in U+FFFD
  std::string ahead_;    // of the decoder's tail, given out already
  std::string held_;     // certain, but may be the start of a stop string
  size_t immune_ = 0;    // bytes of held_ in which no stop string ends
  bool may_stop_ = true;
  bool broken_ = false;  // the text changed under what was given out: nothing more follows
  bool stopped_ = false;
};

}  // namespace uhd
