// Reads a tokenizer.json, and encodes the text that stands behind a zero byte.
#include "model/text/tokenizer_json.h"
#include "tests/fuzz/check_ids.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_tokenizer_json(std::string_view bytes) {
  const auto parts = parts_of(bytes, 2);
  check_ids(*make_tokenizer_json(parts[0], "fuzz"), parts[1]);
  return true;
}

}  // namespace uhd
