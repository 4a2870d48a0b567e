// Reads a `tokenizer.json`: byte-pair encoding with the normaliser, pre-tokeniser, decoder and added tokens
// that the file names.
#pragma once

#include <filesystem>
#include <memory>

#include "model/text/tokenizer.h"

namespace uhd {

// Reads tokenizer.json, and add_bos_token and bos_token of tokenizer_config.json beside it.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& directory);
// Makes a tokenizer from the text of a tokenizer.json alone; `name` stands in errors.
std::shared_ptr<const Tokenizer> make_tokenizer_json(std::string_view json, const std::string& name);

}  // namespace uhd
