// Reads goldens of published tokenizers and weights that Python packages ship. UHD_PACKAGES names the
// directory where the packages are installed, UHD_SMOLLM2 the result of tools/smollm2.py for one of them.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>

#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/prompt.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "tests/model/golden_run.h"
#include "tests/model/tokenizer_tables.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;  // of log-probabilities
constexpr double kClearMargin = 2 * kTolerance;

fs::path directory_in(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? fs::path() : fs::path(value);
}

// summary.json: "package version: path/inside/the/packages; how it was used".
fs::path source_of(const std::string& table, const boost::json::value& summary) {
  const auto* entry = json_member(summary, table);
  if (entry == nullptr) return {};
  const std::string source = json_string(*entry, "source", "", "summary.json");
  const size_t begin = source.find(": ");
  const size_t end = source.find(';');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return directory_in("UHD_PACKAGES") / source.substr(begin + 2, end - begin - 2);
}

TEST(PackageGoldens, SentencePieceTokenizers) {
  const auto summary = read_json_file(goldens_directory() / "tokenizers" / "summary.json");
  size_t compared = 0;
  for (const TokenizerTable& table : tokenizer_tables()) {
    const fs::path model = source_of(table.name, summary);
    if (!table.name.ends_with("_sp") || model.empty() || !fs::is_regular_file(model)) continue;
    for (const bool legacy : {false, true}) {
      const SentencePieceOptions options{.legacy = legacy};
      const auto tokenizer = make_sentencepiece_tokenizer(read_text_file(model), options, model.string());
      expect_table(table, {model.string() + (legacy ? " (legacy)" : ""), tokenizer, false, true});
    }
    ++compared;
  }
  EXPECT_GE(compared, 2u) << "no tokenizers under UHD_PACKAGES";
}

double log_probability(const std::vector<float>& logits, int32_t id) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return logits.at(static_cast<size_t>(id)) - top - std::log(sum);
}

TEST(PackageGoldens, SmolLM2SpeaksAsTheReference) {
  const fs::path directory = directory_in("UHD_SMOLLM2");
  const GoldenModel model(directory);
  const auto tokenizer = load_tokenizer(directory);
  size_t rows = 0;
  for (const fs::path& path : find_goldens("smollm2", "greedy", ".jsonl")) {
    for (const auto& row : read_json_lines(path)) {
      const std::string prompt(row.at("prompt").as_string());
      const auto ids = boost::json::value_to<std::vector<int32_t>>(row.at("ids"));
      const auto greedy = boost::json::value_to<std::vector<int32_t>>(row.at("greedy"));
      EXPECT_EQ(tokenizer->encode(prompt, false, true), ids) << prompt;
      RunOptions options;
      options.steps = static_cast<int>(greedy.size());
      options.forced = greedy;
      const RunResult run = run_language_model(model, {ids, {}}, options);
      const auto margins = boost::json::value_to<std::vector<double>>(row.at("margins"));
      for (size_t step = 0; step < greedy.size(); ++step) {
        if (margins.at(step) < kClearMargin) continue;
        EXPECT_EQ(run.ids.at(step), greedy[step]) << prompt << " step " << step;
      }
      EXPECT_EQ(tokenizer->decode(greedy, false), std::string(row.at("text").as_string()));
      const auto& tops = row.at("top5_logprobs_first8").as_array();
      for (size_t step = 0; step < tops.size(); ++step) {
        for (const auto& top : tops[step].as_array()) {
          const double found =
              log_probability(run.logits.at(step), static_cast<int32_t>(top.at(0).as_int64()));
          EXPECT_NEAR(found, top.at(1).to_number<double>(), kTolerance) << prompt << " step " << step;
        }
      }
      ++rows;
    }
  }
  EXPECT_GT(rows, 0u);
}

}  // namespace
}  // namespace uhd
