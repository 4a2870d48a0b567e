// The names of KV pages: what a page holds follows from all tokens up to its end.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "scheduler/sequence.h"

namespace uhd {

// The name of page `index` of the sequence: a hash of the page before it, or of Sequence::cache_root, and of
// the page's tokens. A visual token is the slice that is seen and the row of it, never its position. It is
// absent while a token or a slice of the page is not known. Names are kept in the sequence.
std::optional<Fingerprint> page_name(Sequence& sequence, size_t index, int page_size);

// Returns the names of the first pages of a prompt that no sequence has yet, up to the first page with a
// slice that is not known, and but for the page of the last token, which is computed in any case.
std::vector<Fingerprint> prompt_pages(const Fingerprint& root, std::span<const int32_t> tokens,
                                      const VisualSpans& spans, int page_size);

}  // namespace uhd
