// Beast's parser of HTTP asks something of those who feed it in pieces.
#pragma once

#include <cstddef>

namespace uhd {

// Returns true if `bytes` may be put into this parser. Beast asserts that a call which goes on within the
// last chunk ("0\r\n\r\n") brings all five bytes of it, whatever came in the call before. A chunked body that
// is not done has at least as many to come (RFC 9112, 7.1), so fewer wait for the others.
template <typename BeastParser>
bool may_be_put(const BeastParser& parser, size_t bytes) {
  constexpr size_t kLastChunk = 5;
  return !parser.is_header_done() || !parser.chunked() || bytes >= kLastChunk;
}

}  // namespace uhd
