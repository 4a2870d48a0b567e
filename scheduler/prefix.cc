#include "scheduler/prefix.h"

#include <algorithm>

namespace uhd {

namespace {

// One token as it enters the hash: an id, or a slice and a row of it.
struct Named {
  uint64_t high = 0;
  uint64_t low = 0;
  int32_t id = 0;
  int32_t row = -1;  // -1: the token is no visual one
};

// The tokens of one page; false while one is not known.
bool name_tokens(const Sequence& sequence, size_t first, std::vector<Named>& tokens) {
  if (first + tokens.size() > sequence.tokens.size()) return false;
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = {.id = sequence.tokens[first + i]};
  const int begin = static_cast<int>(first), end = begin + static_cast<int>(tokens.size());
  for (const VisualSpan& span : *sequence.spans) {
    for (int p = std::max(begin, span.position); p < std::min(end, span.position + span.length); ++p) {
      if (!span.slice) return false;
      tokens[static_cast<size_t>(p - begin)] = {span.slice->high, span.slice->low, 0, p - span.position};
    }
  }
  return true;
}

}  // namespace

std::optional<Fingerprint> page_name(Sequence& sequence, size_t index, int page_size) {
  if (!sequence.cache_root) return std::nullopt;
  std::vector<Fingerprint>& names = sequence.page_names;
  while (names.size() <= index) {
    std::vector<Named> tokens(static_cast<size_t>(page_size));
    if (!name_tokens(sequence, names.size() * tokens.size(), tokens)) return std::nullopt;
    const Fingerprint& parent = names.empty() ? *sequence.cache_root : names.back();
    names.push_back(fingerprint({bytes_of(parent), std::as_bytes(std::span<const Named>(tokens))}));
  }
  return names[index];
}

}  // namespace uhd
