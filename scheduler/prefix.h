// The names of KV pages: what a page holds follows from all tokens up to its end.
#pragma once

#include <optional>

#include "scheduler/sequence.h"

namespace uhd {

// The name of page `index` of the sequence: a hash of the page before it, or of Sequence::cache_root, and of
// the page's tokens. A visual token is the slice that is seen and the row of it, never its position. It is
// absent while a token or a slice of the page is not known. Names are kept in the sequence.
std::optional<Fingerprint> page_name(Sequence& sequence, size_t index, int page_size);

}  // namespace uhd
