// Reads a SentencePiece `tokenizer.model` with the behaviour of Hugging Face's LlamaTokenizer: added tokens
// are cut out first; `legacy` of tokenizer_config.json decides whether text after one gets a space before it.
#pragma once

#include <filesystem>
#include <memory>

#include "model/text/tokenizer.h"

namespace uhd {

// Reads tokenizer.model, and if present tokenizer_config.json, added_tokens.json and special_tokens_map.json.
std::shared_ptr<const Tokenizer> load_sentencepiece_tokenizer(const std::filesystem::path& directory);

struct SentencePieceOptions {
  bool legacy = true;
  bool add_bos = true;
  bool add_eos = false;
  size_t part_bytes =
      size_t{16} << 10;  // the bytes encoded at once, where cutting changes no id; 0: everything
};
// Makes a tokenizer from the bytes of a tokenizer.model alone; `name` stands in errors.
std::shared_ptr<const Tokenizer> make_sentencepiece_tokenizer(const std::string& model,
                                                              const SentencePieceOptions& options,
                                                              const std::string& name);

}  // namespace uhd
