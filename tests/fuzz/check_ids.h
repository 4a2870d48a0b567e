// Holds a tokenizer, whatever file it was made of, to what every tokenizer promises.
#pragma once

#include <string>

#include "model/text/tokenizer.h"
#include "tests/fuzz/targets.h"

namespace uhd {

inline void check_ids(const Tokenizer& tokenizer, std::string_view text) {
  const std::string typed(text.substr(0, 512));
  for (const bool special : {false, true}) {
    const std::vector<int32_t> ids = tokenizer.encode(typed, special, special);
    for (const int32_t id : ids) must_hold(id >= 0 && id < tokenizer.vocabulary(), "an id is out of range");
    tokenizer.decode(ids, special);
    if (tokenizer.max_bytes_per_id() > 0)
      must_hold(typed.size() <= tokenizer.max_bytes_per_id() * ids.size(),
                "a text has fewer ids than its bound");
  }
  tokenizer.bytes_of_token(-1);
  tokenizer.bytes_of_token(tokenizer.vocabulary());
}

}  // namespace uhd
