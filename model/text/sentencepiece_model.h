// Reads from a SentencePiece model's own bytes what the model does to a text, and finds where a text may be
// cut so that the parts have the same ids as the whole. Cutting matters because the encoder takes two hundred
// bytes of memory for each byte that it is given at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// SentencePiece writes U+2581 for a space.
inline constexpr std::string_view kPieceSpace = "\xe2\x96\x81";

// These rules come from the TrainerSpec and NormalizerSpec of a serialized model (sentencepiece_model.proto).
// The defaults are those of the format, and hold for a model that cannot be read.
struct SentencePieceRules {
  bool bpe = false;            // pieces are merged by rank
  bool suffix = false;         // the space is written behind a word
  bool maps = false;           // characters are replaced by others
  bool joins_spaces = true;    // several spaces become one
  bool escapes_spaces = true;  // a space is written as U+2581

  // Returns true if every byte of a text comes through.
  bool keeps_text() const { return !maps && !joins_spaces; }
  // Returns true if each word is merged on its own, and only spaces are written differently.
  bool is_plain_bpe() const { return bpe && !suffix && keeps_text() && escapes_spaces; }
};
SentencePieceRules read_sentencepiece_rules(std::string_view model);

// Returns true if no piece continues behind a character with a space (written U+2581 there): then no merge
// crosses such a place.
bool spaces_begin_pieces(const std::vector<std::string>& pieces);

// Returns the first position at or behind `from` before a single space that more text follows, or the text's
// end.
size_t next_cut(std::string_view text, size_t from);

}  // namespace uhd
