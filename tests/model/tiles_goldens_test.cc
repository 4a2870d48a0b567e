// Checks SmolVLM's tiles: every plan of the table, and every pixel of the pictures, as the published
// processor has them.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "model/vision/slicer.h"
#include "tests/model/golden_sizes.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace json = boost::json;

int whole(const json::object& row, const char* key) { return row.at(key).to_number<int>(); }

SlicingConfig tiles_of(const json::object& row) {
  return {.kind = SlicingConfig::Kind::tiles,
          .scale = whole(row, "tile"),
          .patch = 1,
          .max_slices = 16,
          .prescale_longest = whole(row, "longest")};
}

TEST(TilesGoldens, EveryPlanIsTheProcessors) {
  size_t rows = 0;
  for (const auto& path : find_goldens("slicing", "tiling", ".jsonl")) {
    for (const auto& value : read_json_lines(path)) {
      const json::object& row = value.as_object();
      SCOPED_TRACE(json::serialize(row));
      const SlicePlan plan = plan_slices({whole(row, "w"), whole(row, "h")}, tiles_of(row));
      EXPECT_EQ(plan.source, size_of(row, "first"));
      EXPECT_EQ(plan.refined, size_of(row, "refined"));
      EXPECT_EQ((Size{plan.columns, plan.rows}), size_of(row, "grid"));
      EXPECT_EQ(plan.pieces(), whole(row, "pieces"));
      ++rows;
    }
  }
  EXPECT_TRUE(rows > 0 || !bundled_goldens());
}

TEST(TilesGoldens, FewerTilesAreASmallerPicture) {
  SlicingConfig config{.kind = SlicingConfig::Kind::tiles,
                       .scale = 512,
                       .patch = 16,
                       .max_slices = 16,
                       .prescale_longest = 2048};
  EXPECT_EQ(plan_slices({1000, 1000}, config).slices(), 16);
  config.max_slices = 15;
  EXPECT_EQ(plan_slices({1000, 1000}, config).slices(), 9);
  config.max_slices = 1;
  const SlicePlan one = plan_slices({1000, 700}, config);
  EXPECT_EQ(one.slices(), 0);
  EXPECT_EQ(one.overview, (Size{512, 512}));
  config.prescale_longest = 0;  // a setting may turn the enlargement off
  config.max_slices = 16;
  EXPECT_EQ(plan_slices({700, 500}, config).slices(), 4);
}

std::string hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (const uint8_t byte : sha256(std::as_bytes(std::span(bytes)))) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

// JPEG's pixels are those of one version of its library, and so compared only where the decoded ones agree.
TEST(TilesGoldens, EveryPieceHasTheProcessorsPixels) {
  size_t exact = 0;
  for (const auto& path : find_goldens("preprocess", "pixels_smolvlm", ".jsonl")) {
    for (const auto& value : read_json_lines(path)) {
      const json::object& row = value.as_object();
      const std::string name(row.at("file").as_string());
      SCOPED_TRACE(name);
      const MappedFile file(path.parent_path() / "images" / name);
      const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
      const ImageLimits limits{.max_aspect = 1e9};
      // The processor lays a palette with transparency on white, as this program does but for
      // reference_compat.
      const bool on_white = name == "palette_trns.png";
      const Image image = decode_image(bytes, limits, !on_white);
      const SlicingConfig config = tiles_of(row);
      const SlicePlan plan = plan_slices({image.width, image.height}, config);
      EXPECT_EQ((Size{plan.columns, plan.rows}), size_of(row, "grid"));
      if (!on_white && hex(image.pixels) != row.at("rgb_sha256").as_string()) {
        EXPECT_TRUE(name.ends_with(".jpg")) << "a picture without loss is decoded otherwise";
        continue;
      }
      const auto pieces = cut_slices(image, plan, config, "");
      const auto& wanted = row.at("u8_sha256").as_array();
      ASSERT_EQ(pieces.size(), wanted.size());
      for (size_t i = 0; i < pieces.size(); ++i) EXPECT_EQ(hex(pieces[i].pixels), wanted[i].as_string()) << i;
      ++exact;
    }
  }
  EXPECT_TRUE(exact > 0 || !bundled_goldens());
}

}  // namespace
}  // namespace uhd
