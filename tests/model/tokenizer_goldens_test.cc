// Every tokenizer table of the goldens: ids, decoded text, and the increments of streams.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>

#include "base/mapped_file.h"
#include "model/text/detokenizer.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "model/text/tokenizer.h"
#include "model/text/tokenizer_json.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> ids_of(const boost::json::value& value) {
  return boost::json::value_to<std::vector<int32_t>>(value);
}
std::string text_of(const boost::json::value& row, const char* key) {
  return std::string(row.at(key).as_string());
}

// A tokenizer to test, and whether special tokens are read in texts.
struct Candidate {
  std::string name;
  std::shared_ptr<const Tokenizer> tokenizer;
  bool parse_special = false;
};

bool is_llama_directory(const fs::path& directory) { return fs::exists(directory / "tokenizer.model"); }

// The tokenizers a table was made with: `tiny_*` are those of models/, `*_tokenizer.json` lies beside the
// table, and the others are tokenizer.model files of a package whose place UHD_MISTRAL_TOKENIZERS gives.
std::vector<Candidate> candidates_of(const std::string& table) {
  std::vector<Candidate> found;
  const fs::path folder = goldens_directory() / "tokenizers";
  const std::string stem = table.substr(0, table.rfind('_'));
  if (fs::exists(folder / (stem + "_tokenizer.json"))) {
    const fs::path path = folder / (stem + "_tokenizer.json");
    found.push_back({path.string(), make_tokenizer_json(read_text_file(path), path.string()), true});
  }
  if (!table.starts_with("tiny_")) return found;
  const bool sentencepiece = table.ends_with("_sp");
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    const fs::path& directory = entry.path();
    const bool llama = is_llama_directory(directory);
    if (sentencepiece && llama) {
      found.push_back({directory.string(), load_tokenizer(directory)});
      const std::string model = read_text_file(directory / "tokenizer.model");
      found.push_back(
          {directory.string() + " (legacy)", make_sentencepiece_tokenizer(model, {.legacy = true}, "x")});
      if (fs::exists(directory / "tokenizer.json")) {
        found.push_back({directory.string() + " (json)", load_tokenizer_json(directory)});
      }
    } else if (!sentencepiece && !llama && fs::exists(directory / "tokenizer.json")) {
      found.push_back({directory.string(), load_tokenizer(directory), true});
    }
  }
  return found;
}

void expect_table(const fs::path& path, const Candidate& candidate) {
  for (const auto& row : read_json_lines(path)) {
    const std::string text = text_of(row, "text");
    const auto ids = candidate.tokenizer->encode(text, false, candidate.parse_special);
    EXPECT_EQ(ids, ids_of(row.at("ids"))) << candidate.name << " text: " << text;
    EXPECT_EQ(candidate.tokenizer->decode(ids_of(row.at("ids")), false), text_of(row, "decoded"))
        << candidate.name << " text: " << text;
  }
}

void expect_stream(const fs::path& path, const Candidate& candidate) {
  for (const auto& row : read_json_lines(path)) {
    Detokenizer detokenizer(candidate.tokenizer, {}, false);
    const auto ids = ids_of(row.at("ids"));
    std::vector<std::string> deltas;
    for (const int32_t id : ids) deltas.push_back(detokenizer.push(id));
    EXPECT_EQ(deltas, boost::json::value_to<std::vector<std::string>>(row.at("deltas")))
        << candidate.name << " " << text_of(row, "full");
    if (row.at("flush").is_string()) {
      EXPECT_EQ(detokenizer.flush(), text_of(row, "flush")) << candidate.name;
    }
    EXPECT_EQ(candidate.tokenizer->decode(ids, false), text_of(row, "full")) << candidate.name;
  }
}

void expect_tables(const std::string& prefix, const std::string& suffix, bool stream) {
  size_t tables = 0;
  for (const fs::path& path : find_goldens("tokenizers", prefix, suffix)) {
    const std::string table = path.filename().string().substr(0, path.filename().string().find('.'));
    if (path.filename().string().ends_with(".stream.jsonl") != stream) continue;
    for (const Candidate& candidate : candidates_of(table)) {
      SCOPED_TRACE(candidate.name);
      // Where a run of byte tokens is broken, tokenizer.json's decoder differs from SentencePiece's by
      // design.
      if (stream && table.ends_with("_sp") && candidate.name.ends_with("(json)")) continue;
      stream ? expect_stream(path, candidate) : expect_table(path, candidate);
      ++tables;
    }
  }
  EXPECT_GT(tables, 0u);
}

TEST(TokenizerGoldens, IdsAndTexts) { expect_tables("", ".jsonl", false); }
TEST(TokenizerGoldens, StreamIncrements) { expect_tables("", ".stream.jsonl", true); }

}  // namespace
}  // namespace uhd
