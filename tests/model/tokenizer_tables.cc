#include "tests/model/tokenizer_tables.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "model/text/detokenizer.h"
#include "tests/support/goldens.h"

namespace uhd {

std::vector<int32_t> ids_of(const boost::json::value& value) {
  return boost::json::value_to<std::vector<int32_t>>(value);
}
std::string text_of(const boost::json::value& row, const char* key) {
  return std::string(row.at(key).as_string());
}

namespace {

void expect_row(const boost::json::value& row, const TokenizerCandidate& candidate) {
  const std::string text = text_of(row, "text");
  const auto ids = ids_of(row.at("ids"));
  EXPECT_EQ(candidate.tokenizer->encode(text, false, candidate.parse_special), ids) << "text: " << text;
  EXPECT_EQ(candidate.tokenizer->decode(ids, candidate.skip_special), text_of(row, "decoded"))
      << "text: " << text;
}

void expect_stream(const boost::json::value& row, const TokenizerCandidate& candidate) {
  Detokenizer detokenizer(candidate.tokenizer, {}, candidate.skip_special);
  const auto ids = ids_of(row.at("ids"));
  std::vector<std::string> deltas;
  for (const int32_t id : ids) deltas.push_back(detokenizer.push(id));
  EXPECT_EQ(deltas, boost::json::value_to<std::vector<std::string>>(row.at("deltas")));
  if (row.at("flush").is_string()) {
    EXPECT_EQ(detokenizer.flush(), text_of(row, "flush"));
  }
  EXPECT_EQ(candidate.tokenizer->decode(ids, candidate.skip_special), text_of(row, "full"));
}

}  // namespace

std::vector<TokenizerTable> tokenizer_tables() {
  std::vector<TokenizerTable> tables;
  for (const auto& path : find_goldens("tokenizers", "", ".jsonl")) {
    const std::string file = path.filename().string();
    tables.push_back({path, file.substr(0, file.find('.')), file.ends_with(".stream.jsonl")});
  }
  return tables;
}

void expect_table(const TokenizerTable& table, const TokenizerCandidate& candidate) {
  SCOPED_TRACE(table.name + " by " + candidate.name);
  const auto rows = read_json_lines(table.path);
  EXPECT_FALSE(rows.empty());
  for (const auto& row : rows) table.stream ? expect_stream(row, candidate) : expect_row(row, candidate);
}

}  // namespace uhd
