// Reads a SentencePiece model and encodes a text: two bytes of the text's length, the text, the model.
#include "model/text/sentencepiece_model.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "tests/fuzz/check_ids.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_sentencepiece(std::string_view bytes) {
  if (bytes.size() < 2) return false;
  const size_t length = static_cast<uint8_t>(bytes[0]) | size_t{static_cast<uint8_t>(bytes[1])} << 8;
  const std::string text(bytes.substr(2, length));
  const std::string model(bytes.substr(2 + text.size()));
  read_sentencepiece_rules(model);
  const auto tokenizer = make_sentencepiece_tokenizer(model, {.part_bytes = 64}, "fuzz");
  check_ids(*tokenizer, text);
  return true;
}

}  // namespace uhd
