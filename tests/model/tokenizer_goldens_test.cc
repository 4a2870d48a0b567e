// Checks every tokenizer table of the goldens whose tokenizer is there too: ids, decoded text, increments of
// streams.
#include <gtest/gtest.h>

#include <random>

#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "model/text/tokenizer_json.h"
#include "tests/model/tokenizer_tables.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
using Candidates = std::vector<TokenizerCandidate>;

// A Llama tokenizer in its three readings: as the directory says, the older one, and its tokenizer.json.
void add_llama(const fs::path& directory, Candidates& found) {
  const std::string name = directory.string();
  const std::string model = read_text_file(directory / "tokenizer.model");
  found.push_back({name, load_tokenizer(directory), false, true});
  found.push_back(
      {name + " (legacy)", make_sentencepiece_tokenizer(model, {.legacy = true}, name), false, true});
  if (fs::exists(directory / "tokenizer.json")) {
    found.push_back({name + " (json)", load_tokenizer_json(directory)});
  }
}

// The tokenizer.json from which a table was made, as summary.json says: "models/X/tokenizer.json;
// tokenizers".
fs::path source_of(const std::string& table) {
  const auto summary = read_json_file(goldens_directory() / "tokenizers" / "summary.json");
  const std::string source(summary.at(table).at("source").as_string());
  return goldens_directory() / source.substr(0, source.find(';'));
}

// `X_tokenizer.json` beside a table `X_...`; the tables `tiny_*` are of the tokenizers in models/.
Candidates candidates_of(const std::string& table) {
  Candidates found;
  const std::string stem = table.substr(0, table.rfind('_'));
  const fs::path beside = goldens_directory() / "tokenizers" / (stem + "_tokenizer.json");
  if (fs::exists(beside)) {
    found.push_back({beside.string(), make_tokenizer_json(read_text_file(beside), beside.string()), true});
  }
  if (!table.starts_with("tiny_")) return found;
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    const fs::path& directory = entry.path();
    const bool llama = fs::exists(directory / "tokenizer.model");
    if (llama && table.ends_with("_sp")) add_llama(directory, found);
  }
  if (!table.ends_with("_sp")) {
    const fs::path directory = source_of(table).parent_path();
    found.push_back({directory.string(), load_tokenizer(directory), true});
  }
  return found;
}

void expect_tables(bool stream) {
  size_t compared = 0;
  for (const TokenizerTable& table : tokenizer_tables()) {
    if (table.stream != stream) continue;
    for (const TokenizerCandidate& candidate : candidates_of(table.name)) {
      // If a run of byte tokens is broken, tokenizer.json's decoder differs from SentencePiece's by design.
      if (stream && table.name.ends_with("_sp") && candidate.name.ends_with("(json)")) continue;
      expect_table(table, candidate);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0u);
}

TEST(TokenizerGoldens, IdsAndTexts) { expect_tables(false); }
TEST(TokenizerGoldens, StreamIncrements) { expect_tables(true); }

// Long texts are encoded part by part, to the ids of the whole.
TEST(TokenizerGoldens, PartsOfATextGiveTheIdsOfTheWhole) {
  const std::string_view words[] = {"the",          "quick",          "brown", " ",    "  ",
                                    "\n",           "\xe2\x96\x81",   "<unk>", "</s>", "a b",
                                    "\u4f60\u597d", "\U0001f600",     "x",     " \t",  "...",
                                    "fox jumps",    "\u00e9t\u00e9 ", "     ", "12 34"};
  std::mt19937 random(11);
  size_t models = 0;
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    if (!fs::exists(entry.path() / "tokenizer.model")) continue;
    const std::string model = read_text_file(entry.path() / "tokenizer.model");
    for (const bool legacy : {false, true}) {
      const auto whole = make_sentencepiece_tokenizer(model, {.legacy = legacy, .part_bytes = 0}, "whole");
      const auto parts = make_sentencepiece_tokenizer(model, {.legacy = legacy, .part_bytes = 3}, "parts");
      for (int round = 0; round < 400; ++round) {
        std::string text;
        for (unsigned i = random() % 40; i > 0; --i) {
          text += words[random() % std::size(words)];
          if (random() % 2 == 0) text += ' ';
        }
        EXPECT_EQ(parts->encode(text, true, round % 2 == 0), whole->encode(text, true, round % 2 == 0))
            << text;
      }
    }
    ++models;
  }
  EXPECT_GT(models, 0u);
}

}  // namespace
}  // namespace uhd
