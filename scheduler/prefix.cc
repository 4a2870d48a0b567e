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

// The name of the page behind `names`, which are those of all pages before it; nothing while a token of it is
// not known.
std::optional<Fingerprint> next_name(const Fingerprint& root, std::span<const Fingerprint> names,
                                     std::span<const int32_t> ids, const VisualSpans& spans, int page_size) {
  std::vector<Named> tokens(static_cast<size_t>(page_size));
  const size_t first = names.size() * tokens.size();
  if (first + tokens.size() > ids.size()) return std::nullopt;
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = {.id = ids[first + i]};
  const int begin = static_cast<int>(first), end = begin + page_size;
  for (const VisualSpan& span : spans) {
    for (int p = std::max(begin, span.position); p < std::min(end, span.position + span.length); ++p) {
      if (!span.slice) return std::nullopt;
      tokens[static_cast<size_t>(p - begin)] = {span.slice->high, span.slice->low, 0, p - span.position};
    }
  }
  const Fingerprint& parent = names.empty() ? root : names.back();
  return fingerprint({bytes_of(parent), std::as_bytes(std::span<const Named>(tokens))});
}

}  // namespace

std::optional<Fingerprint> page_name(Sequence& sequence, size_t index, int page_size) {
  if (!sequence.cache_root) return std::nullopt;
  std::vector<Fingerprint>& names = sequence.page_names;
  while (names.size() <= index) {
    const auto name = next_name(*sequence.cache_root, names, sequence.tokens, *sequence.spans, page_size);
    if (!name) return std::nullopt;
    names.push_back(*name);
  }
  return names[index];
}

std::vector<Fingerprint> prompt_pages(const Fingerprint& root, std::span<const int32_t> tokens,
                                      const VisualSpans& spans, int page_size) {
  std::vector<Fingerprint> names;
  if (!tokens.empty()) tokens = tokens.first(tokens.size() - 1);
  while (const auto name = next_name(root, names, tokens, spans, page_size)) names.push_back(*name);
  return names;
}

}  // namespace uhd
