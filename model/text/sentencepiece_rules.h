// What a SentencePiece model does to a text before it is cut into pieces, read from the model's own bytes.
#pragma once

#include <string_view>

namespace uhd {

// Whether every byte of a text comes through: no map of characters, and spaces are not joined. False for a
// model that cannot be read.
bool sentencepiece_keeps_text(std::string_view model);

}  // namespace uhd
