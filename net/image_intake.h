// An ImageIntake goes along with a call whose images are read beside its body: from files and other servers.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

namespace uhd {

// Takes room for so many bytes that will be read; false: there is none now.
using TakeBytes = std::function<bool(int64_t bytes)>;

struct ImageIntake {
  TakeBytes take = {};        // empty: there is always room
  std::stop_token stop = {};  // ends fetches, because nobody waits for the answer any more
};

}  // namespace uhd
