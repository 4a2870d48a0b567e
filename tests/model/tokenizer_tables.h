// Reads the tables of the goldens' tokenizers/, and checks a tokenizer against one of them.
#pragma once

#include <boost/json/value.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace uhd {

struct TokenizerTable {
  std::filesystem::path path;
  std::string name;     // "tiny_llama_sp"
  bool stream = false;  // increments; else texts with ids
};
std::vector<TokenizerTable> tokenizer_tables();

// Read a row of such tables.
std::vector<int32_t> ids_of(const boost::json::value& value);
std::string text_of(const boost::json::value& row, const char* key);

// A candidate is a tokenizer to test; it says whether special tokens are read in texts, and whether they are
// silent in decoded text.
struct TokenizerCandidate {
  std::string name;
  std::shared_ptr<const Tokenizer> tokenizer;
  bool parse_special = false;
  bool skip_special = false;
};

// Fails the test if ids, decoded texts or increments differ.
void expect_table(const TokenizerTable& table, const TokenizerCandidate& candidate);

}  // namespace uhd
