#include "tests/model/golden_cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/mapped_file.h"
#include "model/json_file.h"
#include "tests/support/goldens.h"

namespace uhd {

namespace {

constexpr double kClearMargin = 0.5;
constexpr double kAboveNoise = 1.8;

}  // namespace

Tolerance logits_in_bf16(const ModelCase& c) {
  const auto path = goldens_directory() / "models" / "bf16_noise_family.json";
  if (!is_there(path)) return kLogitsBf16;
  const std::string name =
      c.golden.folder.filename().string() + "/" + c.golden.name.substr(strlen("golden_"));
  const auto noise = read_json_file(path);
  const auto* found = noise.as_object().if_contains(name);
  if (found == nullptr) return kLogitsBf16;
  const auto& bf16 = found->at("bf16").as_object();
  // Cases of pictures tell the noise of each stage; some ran the language model on features in f32.
  const auto* whole = bf16.if_contains("logits");
  if (whole == nullptr) whole = bf16.if_contains("logits_of_f32_features");
  const auto& logits = whole == nullptr ? bf16 : whole->as_object();
  const auto measured = [&](const char* key) { return logits.at(key).to_number<double>(); };
  return {std::max(kLogitsBf16.max_abs, kAboveNoise * measured("max_abs")),
          std::max(kLogitsBf16.relative_rms, kAboveNoise * measured("rel_rms"))};
}

std::vector<ModelCase> model_cases(const std::string& prefix) {
  std::vector<ModelCase> cases;
  for (const auto& folder : golden_model_folders()) {
    for (Golden& golden : goldens_of(folder, prefix)) cases.push_back({folder, std::move(golden)});
  }
  return cases;
}

std::vector<float> first_columns(std::span<const float> rows, size_t width, size_t kept) {
  std::vector<float> result;
  for (size_t at = 0; at + width <= rows.size(); at += width) {
    result.insert(result.end(), rows.begin() + static_cast<int64_t>(at),
                  rows.begin() + static_cast<int64_t>(at + kept));
  }
  return result;
}

void expect_first_logits(const ModelCase& c, const GoldenModel& model, const RunResult& run,
                         const Tolerance& tolerance) {
  const auto wanted = c.golden.tensor("greedy_logits_first8");
  ASSERT_TRUE(wanted.found());
  const auto vocabulary = static_cast<size_t>(model.config.language.vocabulary);
  const auto width = static_cast<size_t>(wanted.shape[1]);
  ASSERT_LE(width, vocabulary);
  std::vector<float> found;
  for (size_t i = 0; i < static_cast<size_t>(wanted.shape[0]); ++i) {
    const auto kept = first_columns(run.logits.at(i), vocabulary, width);
    found.insert(found.end(), kept.begin(), kept.end());
  }
  expect_close(found, wanted.values, tolerance, c.name() + " first logits");
}

void expect_clear_ids(const ModelCase& c, const RunResult& run) {
  const auto wanted = c.golden.ids("greedy_ids");
  const auto margins = c.golden.numbers("margins");
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (margins[i] > kClearMargin) {
      EXPECT_EQ(run.ids[i], wanted[i]) << "step " << i;
    }
  }
}

}  // namespace uhd
