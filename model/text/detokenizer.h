// Ids to text increments that never split a UTF-8 character, with stop strings held back until they are
// decided.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

// One per running sequence. The deltas joined, with flush(), equal decode() of all ids (up to a stop string).
class Detokenizer {
 public:
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> stop_strings);

  // The text that became certain with this id. stopped() after it: a stop string was met, its text is not
  // emitted.
  std::string push(int32_t id);
  bool stopped() const { return stopped_; }
  // The rest, at the end of a sequence.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> stop_strings_;
  std::vector<int32_t> ids_;
  size_t prefix_ = 0;  // ids before this are no longer looked at
  std::string held_;   // decoded, but may be the start of a stop string
  bool stopped_ = false;
};

}  // namespace uhd
