// Every row of every slicing table equals the published code's result.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "base/error.h"
#include "model/vision/slice_plan.h"
#include "tests/model/golden_sizes.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace json = boost::json;

int64_t number(const json::object& row, std::string_view key) { return row.at(key).to_number<int64_t>(); }

bool has(const json::object& row, std::string_view key) {
  const json::value* value = row.if_contains(key);
  return value != nullptr && !value->is_null();
}

SlicingConfig uhd_slicing(const json::object& row) {
  return {.scale = 336, .patch = 14, .max_slices = static_cast<int>(number(row, "max"))};
}

SlicingConfig eval_slicing(const json::object& row) {
  SlicingConfig config{.scale = 336, .patch = 14, .max_slices = 7, .prescale_longest = 1024};
  if (has(row, "max")) config.max_slices = static_cast<int>(number(row, "max"));
  return config;
}

SlicingConfig minicpm26_slicing(const json::object& row) {
  return {.scale = 448,
          .patch = 14,
          .max_slices = static_cast<int>(number(row, "max")),
          .rounding = SliceRounding::nearest_even};
}

// Sides are multiples of several patches, which this family merges.
SlicingConfig minicpm46_slicing(const json::object& row) {
  SlicingConfig config = minicpm26_slicing(row);
  config.patch = row.at("mode").as_string() == "16x" ? 56 : 28;
  return config;
}

std::string separators(const SlicePlan& plan) {
  std::string text;
  for (int row = 0; row < plan.rows; ++row) text += std::string(plan.columns - 1, ',') + "n";
  return text;
}

std::string minicpm_mark(const SlicePlan& plan) {
  std::string text = "<image_id>0</image_id><image>#</image>";
  for (int row = 0; row < plan.rows; ++row) {
    if (row > 0) text += '\n';
    for (int column = 0; column < plan.columns; ++column) text += "<slice>#</slice>";
  }
  return text;
}

void expect_rects(const json::array& rects, const SlicePlan& plan) {
  ASSERT_EQ(rects.size(), static_cast<size_t>(plan.slices()));
  for (int i = 0; i < plan.slices(); ++i) {
    const int64_t x = i % plan.columns * plan.cell.width;
    const int64_t y = i / plan.columns * plan.cell.height;
    EXPECT_EQ(size_of(rects[i]), (Size{x, y}));
    EXPECT_EQ(rects[i].at(2).to_number<int64_t>(), x + plan.cell.width);
    EXPECT_EQ(rects[i].at(3).to_number<int64_t>(), y + plan.cell.height);
  }
}

int tokens_with(const SlicePlan& plan, int queries) {
  ModelConfig config;
  config.resampler = {.kind = ResamplerKind::perceiver, .queries = queries};
  return visual_tokens(plan, config);
}

void expect_row(const json::object& row, const SlicingConfig& config) {
  const Size image{number(row, "w"), number(row, "h")};
  if (has(row, "error")) {
    EXPECT_THROW(plan_slices(image, config), Error);
    return;
  }
  const SlicePlan plan = plan_slices(image, config);
  EXPECT_EQ(plan.image, image);
  EXPECT_EQ(plan.overview, size_of(row.at("overview")));
  EXPECT_EQ((Size{plan.columns, plan.rows}), size_of(row, "grid"));
  EXPECT_EQ(plan.refined, size_of(row, "refine"));
  EXPECT_EQ(plan.cell, size_of(row, "cell"));
  EXPECT_EQ(plan.source, has(row, "prescaled") ? size_of(row.at("prescaled")) : image);
  if (has(row, "n_slices")) {
    EXPECT_EQ(plan.slices(), number(row, "n_slices"));
  }
  if (has(row, "seps")) {
    EXPECT_EQ(separators(plan), std::string_view(row.at("seps").as_string()));
  }
  if (has(row, "tokens144")) {
    EXPECT_EQ(tokens_with(plan, 144) + plan.slices(), number(row, "tokens144"));
  }
  if (has(row, "query_tokens")) {
    EXPECT_EQ(tokens_with(plan, 64), number(row, "query_tokens"));
  }
  if (has(row, "placeholder")) {
    EXPECT_EQ(minicpm_mark(plan), std::string_view(row.at("placeholder").as_string()));
  }
  if (has(row, "rects")) expect_rects(row.at("rects").as_array(), plan);
}

using SlicingOf = SlicingConfig (*)(const json::object& row);

SlicingOf slicing_of_table(const std::string& name) {
  if (name.find("minicpmv26") != std::string::npos) return minicpm26_slicing;
  if (name.find("minicpmv46") != std::string::npos) return minicpm46_slicing;
  if (name.find("eval1024") != std::string::npos) return eval_slicing;
  if (name.find("uhd_v1") != std::string::npos) return uhd_slicing;
  return nullptr;
}

// Rows compared; stops at the first that differs.
int expect_table(const std::filesystem::path& path) {
  const SlicingOf slicing = slicing_of_table(path.filename().string());
  EXPECT_NE(slicing, nullptr) << path << " is of no known family";
  if (slicing == nullptr) return 0;
  int rows = 0;
  for (const auto& value : read_json_lines(path)) {
    SCOPED_TRACE(path.string() + ":" + std::to_string(++rows));
    expect_row(value.as_object(), slicing(value.as_object()));
    if (testing::Test::HasFailure()) break;
  }
  return rows;
}

TEST(SlicingGoldens, EveryPlanEqualsTheReferenceTables) {
  int rows = 0;
  for (const auto& path : find_goldens("slicing", "slicing", ".jsonl")) rows += expect_table(path);
  EXPECT_GT(rows, 0) << "no slicing*.jsonl in " << goldens_directory() / "slicing";
}

}  // namespace
}  // namespace uhd
