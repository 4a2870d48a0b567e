#include "model/vision/slicer.h"

#include <gtest/gtest.h>

#include <set>

#include "model/vision/resize.h"
#include "tests/model/image_files.h"

namespace uhd {
namespace {

using Kind = SlicingConfig::Kind;

const SlicingConfig kUhd{.scale = 56, .patch = 14, .max_slices = 7};

std::vector<Slice> cut(const Image& image, const SlicingConfig& config, std::string_view salt = "") {
  return cut_slices(image, plan_slices({image.width, image.height}, config), config, salt);
}

std::string refusal(Size image, const SlicingConfig& config, const ImageLimits& limits) {
  try {
    plan_image(image, config, limits);
  } catch (const ImageError& error) {
    return error.code();
  }
  return "";
}

TEST(Slicer, CutsThePiecesOfThePlanRowByRowThenTheOverview) {
  const Image image = test_picture(170, 120);
  const SlicePlan plan = plan_slices({170, 120}, kUhd);
  ASSERT_GT(plan.columns, 1);
  ASSERT_GT(plan.rows, 1);
  const auto slices = cut(image, kUhd);
  ASSERT_EQ(slices.size(), static_cast<size_t>(plan.pieces()));
  const Image refined =
      resize_bicubic(image, static_cast<int>(plan.refined.width), static_cast<int>(plan.refined.height));
  for (int i = 0; i < plan.slices(); ++i) {
    ASSERT_EQ((Size{slices[i].width, slices[i].height}), plan.cell);
    for (int y = 0; y < slices[i].height; ++y) {
      const size_t from = 3 * ((size_t{1} * (i / plan.columns) * slices[i].height + y) * refined.width +
                               size_t{1} * (i % plan.columns) * slices[i].width);
      const size_t row = size_t{3} * slices[i].width;
      EXPECT_TRUE(
          std::equal(&slices[i].pixels[y * row], &slices[i].pixels[y * row] + row, &refined.pixels[from]));
    }
  }
  EXPECT_EQ(slices.back().pixels, resize_bicubic(image, slices.back().width, slices.back().height).pixels);
}

TEST(Slicer, CutsFromThePrescaledImage) {
  SlicingConfig config = kUhd;
  config.prescale_longest = 100;
  const Image image = test_picture(170, 120);
  const auto slices = cut(image, config);
  const auto direct = cut(resize_bicubic(image, 100, 70), kUhd);
  ASSERT_EQ(slices.size(), direct.size());
  for (size_t i = 0; i < slices.size(); ++i) EXPECT_EQ(slices[i].pixels, direct[i].pixels);
}

TEST(Slicer, PadsToASquareOfTheMeanColour) {
  const SlicingConfig config{.kind = Kind::pad_square, .scale = 56, .patch = 14};
  for (const auto& [width, height] : {std::pair{90, 41}, {41, 90}, {30, 30}, {1, 20}}) {
    const Image image = test_picture(width, height);
    const int side = std::max(width, height);
    Image square{side, side, {}};
    for (int i = 0; i < side * side; ++i) square.pixels.insert(square.pixels.end(), {122, 116, 104});
    for (int y = 0; y < height; ++y) {
      const size_t to = 3 * ((size_t{1} * y + (side - height) / 2) * side + (side - width) / 2);
      std::copy_n(&image.pixels[size_t{3} * y * width], 3 * width, &square.pixels[to]);
    }
    const auto slices = cut(image, config);
    ASSERT_EQ(slices.size(), 1u);
    EXPECT_EQ(slices[0].pixels, resize_bicubic(square, 56, 56).pixels) << width << "x" << height;
  }
}

TEST(Slicer, CropsTheMiddleOfTheScaledImage) {
  const SlicingConfig config{.kind = Kind::centre_crop, .scale = 56, .patch = 14};
  const Image image = test_picture(91, 40);
  const Image scaled = resize_bicubic(image, 127, 56);
  const auto slices = cut(image, config);
  ASSERT_EQ(slices.size(), 1u);
  for (int y = 0; y < 56; ++y) {
    EXPECT_TRUE(std::equal(&slices[0].pixels[size_t{3} * 56 * y], &slices[0].pixels[size_t{3} * 56 * y] + 168,
                           &scaled.pixels[3 * (size_t{127} * y + 35)]));
  }
}

// A convolution over patches of 14 sees the first 28 of 33 pixels, as in the tiles of 384 of SmolVLM-2.2B.
TEST(Slicer, LeavesOutWhatNoWholePatchOfATileCovers) {
  SlicingConfig config{
      .kind = Kind::tiles, .scale = 33, .patch = 14, .max_slices = 16, .prescale_longest = 99};
  const Image image = test_picture(120, 80);
  const auto trimmed = cut(image, config);
  config.patch = 33;
  const auto whole = cut(image, config);
  ASSERT_EQ(trimmed.size(), 7u);
  ASSERT_EQ(whole.size(), trimmed.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ((Size{trimmed[i].width, trimmed[i].height}), (Size{28, 28}));
    for (size_t y = 0; y < 28; ++y) {
      EXPECT_TRUE(std::equal(&trimmed[i].pixels[y * 28 * 3], &trimmed[i].pixels[y * 28 * 3] + size_t{28} * 3,
                             &whole[i].pixels[y * 33 * 3]))
          << "piece " << i << ", row " << y;
    }
  }
}

TEST(Slicer, MakesOnlyTheWindowOfALongImage) {
  const SlicingConfig crop{.kind = Kind::centre_crop, .scale = 336, .patch = 14};
  const SlicingConfig pad{.kind = Kind::pad_square, .scale = 336, .patch = 14};
  const Image strip = test_picture(20000, 1);  // 20000 squared, or 336 by 6.7 million, would not fit
  EXPECT_EQ(cut(strip, crop).at(0).pixels.size(), size_t{3} * 336 * 336);
  EXPECT_EQ(cut(strip, pad).at(0).pixels.size(), size_t{3} * 336 * 336);
}

// Cutting the file's bytes gives what the decoded picture gives, in every orientation and kind of file.
TEST(Slicer, CutsEncodedImagesAsDecodedOnes) {
  SlicingConfig prescaled = kUhd;
  prescaled.prescale_longest = 100;
  const SlicingConfig pad{.kind = Kind::pad_square, .scale = 56, .patch = 14};
  const SlicingConfig crop{.kind = Kind::centre_crop, .scale = 56, .patch = 14};
  const SlicingConfig trimmed{
      .kind = Kind::tiles, .scale = 33, .patch = 14, .max_slices = 16, .prescale_longest = 99};
  const SlicingConfig kinds[] = {kUhd, prescaled, pad, crop, trimmed};
  for (const auto& [width, height] : {std::pair{170, 121}, {90, 203}, {31, 30}, {1, 20}}) {
    const Image picture = test_picture(width, height);
    for (int exif = 1; exif <= 8; ++exif) {
      PngFile png{.width = width, .height = height, .rows = picture.pixels};
      png.chunks = {{"eXIf", exif_block(exif)}};
      PngFile interlaced = png;
      interlaced.interlaced = true;
      const std::string segment = std::string("Exif\0\0", 6) + exif_block(exif);
      for (const std::string& file :
           {make_png(png), make_png(interlaced), with_jpeg_segment(make_jpeg(picture), 0xe1, segment)}) {
        const Image upright = decode_image(file, {}, false);
        for (const SlicingConfig& config : kinds) {
          const SlicePlan plan = plan_slices({upright.width, upright.height}, config);
          const auto want = cut_slices(upright, plan, config, "salt");
          const auto got = cut_encoded(file, {}, false, plan, config, "salt");
          ASSERT_EQ(got.size(), want.size());
          for (size_t i = 0; i < got.size(); ++i) {
            EXPECT_EQ((Size{got[i].width, got[i].height}), (Size{want[i].width, want[i].height}));
            ASSERT_EQ(got[i].fingerprint, want[i].fingerprint) << width << " " << exif << " piece " << i;
          }
        }
      }
    }
  }
}

TEST(Slicer, FingerprintsTellPixelsShapesAndSaltsApart) {
  const Image image = test_picture(60, 40);
  Image other = image;
  other.pixels[100] ^= 64;
  const SlicingConfig config{.scale = 56, .patch = 14, .max_slices = 1};
  std::set<Fingerprint> seen;
  seen.insert(cut(image, config).at(0).fingerprint);
  seen.insert(cut(other, config).at(0).fingerprint);
  seen.insert(cut(image, config, "another tenant").at(0).fingerprint);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(cut(image, config, "x").at(0).fingerprint, cut(image, config, "x").at(0).fingerprint);
  Image wide{28, 14, std::vector<uint8_t>(3 * 28 * 14, 9)}, high{14, 28, wide.pixels};
  const SlicingConfig small{.scale = 14, .patch = 14, .max_slices = 1};
  EXPECT_NE(cut(wide, small).at(0).fingerprint, cut(high, kUhd).at(0).fingerprint);
}

TEST(Slicer, RefusesAnImageThatIsNotThePlansSize) {
  const SlicePlan plan = plan_slices({100, 80}, kUhd);
  EXPECT_THROW(cut_slices(test_picture(80, 100), plan, kUhd, ""), ImageError);
}

TEST(Slicer, RefusesSlicesOfTooManyPatchesBeforeDecoding) {
  const SlicingConfig config{.scale = 336, .patch = 14, .max_slices = 7};
  EXPECT_EQ(refusal({1, 112896}, config, {}), "image_too_large");
  EXPECT_EQ(refusal({672, 1008}, config, {}), "");
  EXPECT_EQ(refusal({672, 1008}, config, {.max_piece_patches = 575}), "image_too_large");
}

TEST(Slicer, RefusesAnImageThatVanishesInThePrescale) {
  SlicingConfig config = kUhd;
  config.prescale_longest = 100;
  EXPECT_EQ(refusal({1, 101}, config, {}), "image_invalid");
}

}  // namespace
}  // namespace uhd
