// Reads files made to harm: each ends as an ImageError or as a picture of the size its header says, nothing
// else.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "model/vision/image.h"
#include "model/vision/slicer.h"
#include "tests/model/image_files.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

const ImageLimits kUsualLimits;

// The leader does this with the file: its way from the rows to the slices fails where decoding fails.
std::string code_of_cutting(std::string_view bytes, Size size, bool reference_compat) {
  const SlicingConfig config{.scale = 56, .patch = 14, .max_slices = 7};
  const SlicePlan plan = plan_slices(size, config);
  try {
    const auto slices = cut_encoded(bytes, kUsualLimits, reference_compat, plan, config, "");
    EXPECT_EQ(slices.size(), static_cast<size_t>(plan.pieces()));
    return "";
  } catch (const ImageError& error) {
    return error.code();
  }
}

// "" where it decodes.
std::string code_of(std::string_view bytes, bool reference_compat = false) {
  try {
    const ImageHeader header = read_image_header(bytes, kUsualLimits, reference_compat);
    const std::string cutting = code_of_cutting(bytes, header.oriented, reference_compat);
    std::string decoding;
    Image image;
    try {
      image = decode_image(bytes, kUsualLimits, reference_compat);
    } catch (const ImageError& error) {
      decoding = error.code();
    }
    EXPECT_EQ(cutting, decoding);
    if (!decoding.empty()) return decoding;
    EXPECT_EQ((Size{image.width, image.height}), header.oriented);
    EXPECT_EQ(image.pixels.size(), size_t{3} * image.width * image.height);
    return "";
  } catch (const ImageError& error) {
    return error.code();
  }
}

std::vector<uint8_t> translucent(const Image& image) {
  std::vector<uint8_t> rgba;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    rgba.insert(rgba.end(), &image.pixels[i], &image.pixels[i] + 3);
    rgba.push_back(static_cast<uint8_t>(i));
  }
  return rgba;
}

std::vector<std::string> one_of_each_kind() {
  const Image picture = test_picture(33, 18);
  const std::string webp = make_webp(33, 18, translucent(picture));
  return {make_jpeg(picture),
          make_jpeg(picture, {.progressive = true}),
          make_jpeg(picture, {.inks = true}),
          with_jpeg_segment(make_jpeg(picture), 0xe1, std::string("Exif\0\0", 6) + exif_block(5)),
          make_png({.width = 33, .height = 18, .rows = picture.pixels}),
          make_png({.width = 33, .height = 18, .interlaced = true, .rows = picture.pixels}),
          make_png({.width = 33, .height = 6, .color_type = 0, .bit_depth = 16, .rows = picture.pixels}),
          webp,
          make_lossy_webp(picture),
          with_webp_exif(webp, 33, 18, exif_block(3)),
          make_animation(40, 20, {{0, 0, 33, 18, webp}, {4, 2, 33, 18, webp}})};
}

std::vector<std::string> golden_images() {
  std::vector<std::string> files;
  for (const auto& path : find_goldens("preprocess/images", "", "")) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  EXPECT_FALSE(files.empty());
  return files;
}

// A cut file is an error, or only its end marker is missing and every pixel is there.
void expect_error_or_all_pixels(const std::string& whole, size_t length) {
  const std::string_view cut = std::string_view(whole).substr(0, length);
  if (code_of(cut) == "") {
    EXPECT_EQ(decode_image(cut, kUsualLimits, false).pixels, decode_image(whole, kUsualLimits, false).pixels)
        << length << " of " << whole.size();
    EXPECT_GE(length + 16, whole.size());
  }
}

TEST(HostileImage, EveryTruncationIsAnErrorOrAWholePicture) {
  for (const std::string& whole : one_of_each_kind()) {
    EXPECT_EQ(code_of(whole), "");
    for (size_t length = 0; length < whole.size(); ++length) expect_error_or_all_pixels(whole, length);
  }
}

TEST(HostileImage, TruncatedPublishedImagesAreErrors) {
  for (const std::string& whole : golden_images()) {
    const size_t step = std::max<size_t>(whole.size() / 12, 1);
    for (size_t length = whole.size() - 1; length > step; length -= step)
      expect_error_or_all_pixels(whole, length);
  }
}

TEST(HostileImage, FlippedBytesEndAsAnErrorOrAPicture) {
  std::mt19937 random(7);
  for (const std::string& whole : one_of_each_kind()) {
    for (int round = 0; round < 300; ++round) {
      std::string damaged = whole;
      for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
        damaged[random() % damaged.size()] = static_cast<char>(random());
      }
      code_of(damaged, round % 2 == 0);
    }
  }
}

TEST(HostileImage, FlippedHeadersOfPublishedImagesEndAsAnErrorOrAPicture) {
  std::mt19937 random(8);
  for (const std::string& whole : golden_images()) {
    for (int round = 0; round < 24; ++round) {
      std::string damaged = whole;
      const size_t reach = std::min<size_t>(damaged.size(), round % 2 == 0 ? 200 : damaged.size());
      for (unsigned flips = 1 + random() % 3; flips > 0; --flips) {
        damaged[random() % reach] = static_cast<char>(random());
      }
      code_of(damaged);
    }
  }
}

TEST(HostileImage, RandomBytesBehindASignatureAreErrors) {
  std::mt19937 random(9);
  for (const std::string& magic :
       {std::string("\xff\xd8\xff"), std::string("\x89PNG\r\n\x1a\n"),
        std::string("RIFF\x40\0\0\0WEBPVP8 ", 16), std::string("RIFF\x40\0\0\0WEBPVP8X", 16),
        std::string("RIFF\x40\0\0\0WEBPVP8L", 16)}) {
    for (int round = 0; round < 300; ++round) {
      std::string bytes = magic;
      for (unsigned i = random() % 400; i > 0; --i) bytes += static_cast<char>(random());
      EXPECT_NE(code_of(bytes), "");
    }
  }
}

TEST(HostileImage, AHeaderOfNoPixelsIsInvalid) {
  const std::string file = make_png({.width = 1, .height = 1, .rows = {1, 2, 3}});
  EXPECT_EQ(code_of(with_png_size(file, 0, 1)), "image_invalid");
  EXPECT_EQ(code_of(with_png_size(file, 1, 0)), "image_invalid");
}

TEST(HostileImage, HugeSizesAreRefusedFromTheHeader) {
  const std::string file = make_png({.width = 1, .height = 1, .rows = {1, 2, 3}});
  EXPECT_EQ(code_of(with_png_size(file, 1, 100000)), "image_too_large");
  EXPECT_EQ(code_of(with_png_size(file, 30000, 30000)), "image_too_large");
  EXPECT_EQ(code_of(with_png_size(file, 0x7fffffff, 0x7fffffff)), "image_too_large");
  EXPECT_EQ(code_of(with_png_size(file, 0xffffffff, 0xffffffff)), "image_too_large");
  EXPECT_EQ(code_of(with_png_size(file, 1, 20000)), "image_aspect");
}

TEST(HostileImage, AHeaderThatClaimsMoreThanTheFileHoldsIsInvalid) {
  const Image picture = test_picture(16, 16);
  const std::string png = make_png({.width = 16, .height = 16, .rows = picture.pixels});
  EXPECT_EQ(code_of(with_png_size(png, 16, 17)), "image_invalid");
  EXPECT_EQ(code_of(with_png_size(png, 7000, 7000)), "image_invalid");
  std::string jpeg = make_jpeg(picture);
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg[frame + 5] = '\x10';  // 4112 rows
  EXPECT_EQ(read_image_header(jpeg, {.max_aspect = 1000}, false).stored, (Size{16, 4112}));
  EXPECT_EQ(code_of(jpeg), "image_aspect");
  jpeg[frame + 7] = '\x10';
  EXPECT_EQ(code_of(jpeg), "image_invalid");
}

TEST(HostileImage, AProgressiveFileOfTooManyScansIsInvalid) {
  const std::string file = make_jpeg(test_picture(32, 32), {.progressive = true});
  const size_t last_scan = file.rfind("\xff\xda");
  ASSERT_NE(last_scan, std::string::npos);
  const std::string scan = file.substr(last_scan, file.size() - 2 - last_scan);
  std::string many = file.substr(0, file.size() - 2);
  for (int i = 0; i < 1000; ++i) many += scan;
  EXPECT_EQ(code_of(many + "\xff\xd9"), "image_invalid");
}

TEST(HostileImage, AncillaryChunksThatUnpackToMuchAreNotUnpacked) {
  const std::string name_and_garbage = std::string("profile\0\0", 9) + std::string(1 << 20, 'x');
  const std::string file = make_png({.width = 1,
                                     .height = 1,
                                     .rows = {1, 2, 3},
                                     .chunks = {{"iCCP", name_and_garbage}, {"zTXt", name_and_garbage}}});
  EXPECT_EQ(code_of(file), "");
}

TEST(HostileImage, AFrameOutsideItsCanvasIsInvalid) {
  const std::string frame = make_webp(4, 4, std::vector<uint8_t>(64, 9));
  EXPECT_EQ(code_of(make_animation(4, 4, {{2, 0, 4, 4, frame}})), "image_invalid");
  EXPECT_EQ(code_of(make_animation(8, 8, {{6, 6, 8, 8, frame}})), "image_invalid");
  EXPECT_EQ(code_of(make_animation(8, 8, {})), "image_invalid");
}

TEST(HostileImage, ErrorTextsAreOurs) {
  const std::string whole = make_jpeg(test_picture(16, 16));
  try {
    decode_image(std::string_view(whole).substr(0, whole.size() / 2), kUsualLimits, false);
    FAIL() << "decoded";
  } catch (const ImageError& error) {
    EXPECT_STREQ(error.what(), "the JPEG image is truncated or damaged");
  }
}

}  // namespace
}  // namespace uhd
