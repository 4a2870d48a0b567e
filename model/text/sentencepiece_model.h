// Where a text may be cut so that SentencePiece encodes the parts to the same ids as the whole: its encoder
// takes two hundred bytes of memory for each byte of what it is given at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// What the serialized model (a protobuf) says: merges by rank (BPE), and text is taken as it is, but for
// spaces.
bool is_plain_bpe(std::string_view model);

// Whether no piece goes on behind a character with a space (U+2581 there): then no merge crosses such a
// place.
bool spaces_begin_pieces(const std::vector<std::string>& pieces);

// The first place at or behind `from` before a single space that more text follows, or the text's end.
size_t next_cut(std::string_view text, size_t from);

}  // namespace uhd
