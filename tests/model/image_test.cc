#include "model/vision/image.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "model/vision/png_writer.h"
#include "tests/model/image_files.h"

namespace uhd {
namespace {

using Format = ImageHeader::Format;

const ImageLimits kLimits;

std::string error_code_of(std::string_view bytes, const ImageLimits& limits = kLimits) {
  try {
    decode_image(bytes, limits, false);
  } catch (const ImageError& error) {
    EXPECT_NE(std::string(error.what()), "");
    return error.code();
  }
  return "";
}

std::vector<uint8_t> opaque(const Image& image) {
  std::vector<uint8_t> rgba;
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    rgba.push_back(image.pixels[i]);
    if (i % 3 == 2) rgba.push_back(255);
  }
  return rgba;
}

PngFile rgb_png(const Image& image) {
  return {.width = image.width, .height = image.height, .rows = image.pixels};
}

int worst_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int worst = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  return worst;
}

// Returns the order of the pixels in a picture two wide and three high with the pixels 0 to 5.
std::vector<int> pixel_order(const Image& image) {
  std::vector<int> order;
  for (size_t i = 0; i < image.pixels.size(); i += 3) order.push_back(image.pixels[i]);
  return order;
}

Image numbered_picture() {
  Image image{2, 3, std::vector<uint8_t>(18)};
  for (int i = 0; i < 18; ++i) image.pixels[i] = static_cast<uint8_t>(i / 3);
  return image;
}

TEST(Image, ReadsTheSizeOfEveryFormatFromItsHeader) {
  const Image picture = test_picture(37, 21);
  const std::pair<std::string, Format> files[] = {{make_jpeg(picture), Format::jpeg},
                                                  {make_png(rgb_png(picture)), Format::png},
                                                  {make_webp(37, 21, opaque(picture)), Format::webp},
                                                  {make_lossy_webp(picture), Format::webp}};
  for (const auto& [bytes, format] : files) {
    const ImageHeader header = read_image_header(bytes, kLimits, false);
    EXPECT_EQ(header.format, format);
    EXPECT_EQ(header.stored, (Size{37, 21}));
    EXPECT_EQ(header.oriented, (Size{37, 21}));
    EXPECT_EQ(header.orientation, 1);
  }
}

TEST(Image, KeepsThePixelsOfLosslessFormats) {
  const Image picture = test_picture(37, 21);
  EXPECT_EQ(decode_image(make_png(rgb_png(picture)), kLimits, false).pixels, picture.pixels);
  EXPECT_EQ(decode_image(encode_png(picture), kLimits, false).pixels, picture.pixels);
  EXPECT_EQ(decode_image(make_webp(37, 21, opaque(picture)), kLimits, false).pixels, picture.pixels);
}

TEST(Image, ComesCloseToThePictureInLossyFormats) {
  Image picture = test_picture(64, 48);
  for (size_t i = 2; i < picture.pixels.size(); i += 3) picture.pixels[i] = 90;
  EXPECT_LE(worst_difference(decode_image(make_jpeg(picture, {.quality = 98}), kLimits, false), picture), 12);
  EXPECT_LE(worst_difference(decode_image(make_lossy_webp(picture), kLimits, false), picture), 40);
}

TEST(Image, DecodesAProgressiveJpegToTheSamePixels) {
  const Image picture = test_picture(75, 50);
  const Image plain = decode_image(make_jpeg(picture), kLimits, false);
  EXPECT_EQ(decode_image(make_jpeg(picture, {.progressive = true}), kLimits, false).pixels, plain.pixels);
}

TEST(Image, TurnsAGreyJpegToEqualChannels) {
  const Image grey = decode_image(make_jpeg(test_picture(40, 40), {.grey = true}), kLimits, false);
  for (size_t i = 0; i < grey.pixels.size(); i += 3) {
    EXPECT_EQ(grey.pixels[i], grey.pixels[i + 1]);
    EXPECT_EQ(grey.pixels[i], grey.pixels[i + 2]);
  }
}

// Inverted inks with no black are the colours themselves.
TEST(Image, TurnsInksToColours) {
  Image picture = test_picture(48, 48);
  for (size_t i = 2; i < picture.pixels.size(); i += 3) picture.pixels[i] = 90;
  const Image decoded = decode_image(make_jpeg(picture, {.quality = 98, .inks = true}), kLimits, false);
  EXPECT_LE(worst_difference(decoded, picture), 12);
}

TEST(Image, DecodesInterlacedFilesToTheSamePixels) {
  const Image picture = test_picture(29, 31);
  PngFile file = rgb_png(picture);
  file.interlaced = true;
  EXPECT_EQ(decode_image(make_png(file), kLimits, false).pixels, picture.pixels);
  const PngFile tiny{.width = 1, .height = 1, .interlaced = true, .rows = {1, 2, 3}};
  EXPECT_EQ(decode_image(make_png(tiny), kLimits, false).pixels, (std::vector<uint8_t>{1, 2, 3}));
}

TEST(Image, SpreadsFewGreyLevelsOverTheWholeRange) {
  const PngFile two_bits{.width = 4, .height = 1, .color_type = 0, .bit_depth = 2, .rows = {0b00011011}};
  EXPECT_EQ(pixel_order(decode_image(make_png(two_bits), kLimits, false)),
            (std::vector<int>{0, 85, 170, 255}));
}

TEST(Image, LooksUpPalettes) {
  const PngFile file{.width = 2,
                     .height = 1,
                     .color_type = 3,
                     .bit_depth = 8,
                     .rows = {1, 0},
                     .palette = {10, 20, 30, 40, 50, 60}};
  EXPECT_EQ(decode_image(make_png(file), kLimits, false).pixels,
            (std::vector<uint8_t>{40, 50, 60, 10, 20, 30}));
}

TEST(Image, TakesTheHighByteOfSixteenBits) {
  const PngFile colour{.width = 1, .height = 1, .bit_depth = 16, .rows = {1, 255, 128, 0, 254, 255}};
  EXPECT_EQ(decode_image(make_png(colour), kLimits, false).pixels, (std::vector<uint8_t>{1, 128, 254}));
  const PngFile grey{.width = 2, .height = 1, .color_type = 0, .bit_depth = 16, .rows = {0, 200, 3, 0}};
  EXPECT_EQ(pixel_order(decode_image(make_png(grey), kLimits, false)), (std::vector<int>{0, 3}));
}

TEST(Image, ClipsSixteenBitGreyWhereTheReferenceDoes) {
  for (const bool interlaced : {false, true}) {
    const PngFile grey{.width = 2,
                       .height = 1,
                       .color_type = 0,
                       .bit_depth = 16,
                       .interlaced = interlaced,
                       .rows = {0, 200, 3, 0}};
    EXPECT_EQ(pixel_order(decode_image(make_png(grey), kLimits, true)), (std::vector<int>{200, 255}));
  }
}

TEST(Image, LaysAlphaOnWhite) {
  const PngFile colour{
      .width = 3, .height = 1, .color_type = 6, .rows = {10, 20, 30, 0, 10, 20, 30, 255, 0, 100, 200, 128}};
  EXPECT_EQ(decode_image(make_png(colour), kLimits, false).pixels,
            (std::vector<uint8_t>{255, 255, 255, 10, 20, 30, 127, 177, 227}));
  const PngFile grey{.width = 2, .height = 1, .color_type = 4, .rows = {9, 0, 9, 255}};
  EXPECT_EQ(pixel_order(decode_image(make_png(grey), kLimits, false)), (std::vector<int>{255, 9}));
  const std::string webp = make_webp(2, 1, {10, 20, 30, 255, 0, 0, 0, 0});
  EXPECT_EQ(decode_image(webp, kLimits, false).pixels, (std::vector<uint8_t>{10, 20, 30, 255, 255, 255}));
}

TEST(Image, LaysTransparentColoursAndPaletteEntriesOnWhite) {
  const PngFile colour{
      .width = 2, .height = 1, .rows = {1, 2, 3, 4, 5, 6}, .transparent = {0, 1, 0, 2, 0, 3}};
  EXPECT_EQ(decode_image(make_png(colour), kLimits, false).pixels,
            (std::vector<uint8_t>{255, 255, 255, 4, 5, 6}));
  const PngFile palette{.width = 2,
                        .height = 1,
                        .color_type = 3,
                        .rows = {0, 1},
                        .palette = {1, 2, 3, 4, 5, 6},
                        .transparent = {0}};
  EXPECT_EQ(decode_image(make_png(palette), kLimits, false).pixels,
            (std::vector<uint8_t>{255, 255, 255, 4, 5, 6}));
}

TEST(Image, DropsAlphaWhereTheReferenceDoes) {
  const PngFile colour{.width = 1, .height = 1, .color_type = 6, .rows = {10, 20, 30, 0}};
  EXPECT_EQ(decode_image(make_png(colour), kLimits, true).pixels, (std::vector<uint8_t>{10, 20, 30}));
  const PngFile palette{
      .width = 1, .height = 1, .color_type = 3, .rows = {0}, .palette = {1, 2, 3}, .transparent = {0}};
  EXPECT_EQ(decode_image(make_png(palette), kLimits, true).pixels, (std::vector<uint8_t>{1, 2, 3}));
}

TEST(Image, TurnsThePictureUprightForEveryOrientation) {
  const std::vector<int> upright[8] = {{0, 1, 2, 3, 4, 5}, {1, 0, 3, 2, 5, 4}, {5, 4, 3, 2, 1, 0},
                                       {4, 5, 2, 3, 0, 1}, {0, 2, 4, 1, 3, 5}, {4, 2, 0, 5, 3, 1},
                                       {5, 3, 1, 4, 2, 0}, {1, 3, 5, 0, 2, 4}};
  const Image picture = numbered_picture();
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string exif = exif_block(orientation, orientation % 2 == 0);
    PngFile png = rgb_png(picture);
    png.chunks = {{"eXIf", exif}};
    const Size size = orientation >= 5 ? Size{3, 2} : Size{2, 3};
    for (const std::string& file :
         {make_png(png), with_webp_exif(make_webp(2, 3, opaque(picture)), 2, 3, exif)}) {
      const ImageHeader header = read_image_header(file, kLimits, false);
      EXPECT_EQ(header.orientation, orientation);
      EXPECT_EQ(header.stored, (Size{2, 3}));
      EXPECT_EQ(header.oriented, size);
      const Image turned = decode_image(file, kLimits, false);
      EXPECT_EQ((Size{turned.width, turned.height}), size);
      EXPECT_EQ(pixel_order(turned), upright[orientation - 1]) << orientation;
    }
  }
}

TEST(Image, TurnsLargePicturesLikeSmallOnes) {
  const Image picture = test_picture(70, 45);
  PngFile png = rgb_png(picture);
  png.chunks = {{"eXIf", exif_block(6)}};
  const Image turned = decode_image(make_png(png), kLimits, false);
  ASSERT_EQ(turned.width, 45);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      const size_t from = 3 * ((44 - x) * size_t{70} + y), to = 3 * (y * size_t{45} + x);
      ASSERT_EQ(turned.pixels[to], picture.pixels[from]);
    }
  }
}

TEST(Image, ReadsTheOrientationOfAJpeg) {
  const std::string exif = std::string("Exif\0\0", 6) + exif_block(8);
  const std::string file = with_jpeg_segment(make_jpeg(test_picture(20, 10)), 0xe1, exif);
  EXPECT_EQ(read_image_header(file, kLimits, false).oriented, (Size{10, 20}));
  EXPECT_EQ(decode_image(file, kLimits, false).width, 10);
}

TEST(Image, IgnoresTheOrientationWhereTheReferenceDoes) {
  PngFile png = rgb_png(numbered_picture());
  png.chunks = {{"eXIf", exif_block(6)}};
  const std::string file = make_png(png);
  EXPECT_EQ(read_image_header(file, kLimits, true).oriented, (Size{2, 3}));
  EXPECT_EQ(decode_image(file, kLimits, true).pixels, numbered_picture().pixels);
}

TEST(Image, TakesTheFirstFrameOfAnAnimationInItsPlace) {
  const std::string red = make_webp(2, 2, std::vector<uint8_t>(16, 255));
  std::vector<uint8_t> dark(16, 7);
  for (size_t i = 3; i < dark.size(); i += 4) dark[i] = 255;
  const std::string file = make_animation(4, 4, {{2, 0, 2, 2, make_webp(2, 2, dark)}, {0, 0, 2, 2, red}});
  const Image image = decode_image(file, kLimits, false);
  EXPECT_EQ(pixel_order(image),
            (std::vector<int>{255, 255, 7, 7, 255, 255, 7, 7, 255, 255, 255, 255, 255, 255, 255, 255}));
}

// Viewers show such files, and every pixel is there.
TEST(Image, ReadsFilesWithoutTheirEndMarker) {
  const Image picture = test_picture(57, 41);
  const std::string trailer = "\0SEFH a maker's \x01\x02 trailer, \xff\x00 and so on";
  for (const JpegOptions& options : {JpegOptions{}, {.progressive = true}, {.grey = true}, {.inks = true}}) {
    const std::string file = make_jpeg(picture, options);
    const std::vector<uint8_t> pixels = decode_image(file, kLimits, false).pixels;
    const std::string open = file.substr(0, file.size() - 2);
    EXPECT_EQ(decode_image(open, kLimits, false).pixels, pixels);
    EXPECT_EQ(decode_image(open + trailer, kLimits, false).pixels, pixels);
    EXPECT_EQ(decode_image(file + trailer, kLimits, false).pixels, pixels);
    EXPECT_THROW(decode_image(file.substr(0, file.size() * 3 / 4), kLimits, false), ImageError);
    EXPECT_THROW(decode_image(file.substr(0, file.size() - 12), kLimits, false), ImageError);
  }
  for (const bool interlaced : {false, true}) {
    const std::string file =
        make_png({.width = 57, .height = 41, .interlaced = interlaced, .rows = picture.pixels});
    EXPECT_EQ(decode_image(file.substr(0, file.size() - 12), kLimits, false).pixels, picture.pixels);
    EXPECT_EQ(decode_image(file.substr(0, file.size() - 5), kLimits, false).pixels, picture.pixels);
    EXPECT_EQ(decode_image(file + trailer, kLimits, false).pixels, picture.pixels);
    EXPECT_THROW(decode_image(file.substr(0, file.size() - 40), kLimits, false), ImageError);
  }
}

// Bytes behind the last row of a PNG do not matter. A wrong checksum of the compressed pixels does not matter
// either, as long as the pixels match their own.
TEST(Image, OpensPngsThatAreDamagedBehindTheirPixels) {
  const Image picture = test_picture(57, 41);
  constexpr size_t kIend = 12;
  for (const bool interlaced : {false, true}) {
    const std::string file =
        make_png({.width = 57, .height = 41, .interlaced = interlaced, .rows = picture.pixels});
    const auto flipped = [&](std::initializer_list<size_t> from_end) {
      std::string damaged = file;
      for (const size_t at : from_end) damaged[damaged.size() - at] ^= 0x40;
      return damaged;
    };
    for (size_t at = 1; at <= kIend; ++at) {
      EXPECT_EQ(decode_image(flipped({at}), kLimits, false).pixels, picture.pixels) << at;
    }
    for (size_t at = kIend + 1; at <= kIend + 4; ++at) {  // the checksum of IDAT
      EXPECT_EQ(decode_image(flipped({at}), kLimits, false).pixels, picture.pixels) << at;
    }
    for (size_t cut = 1; cut <= kIend + 4; ++cut) {
      EXPECT_EQ(decode_image(file.substr(0, file.size() - cut), kLimits, false).pixels, picture.pixels)
          << cut;
    }
    for (size_t at = kIend + 5; at <= kIend + 8; ++at)
      EXPECT_EQ(error_code_of(flipped({at})), "image_invalid") << at;
    for (size_t at = kIend + 20; at < file.size() - 50; at += 7) {
      EXPECT_EQ(error_code_of(flipped({at})), "image_invalid") << at;
    }
    EXPECT_EQ(error_code_of(flipped({file.size() - 30})), "image_invalid");  // the checksum of IHDR
  }
}

// Metadata of any size, kind and state is passed over.
TEST(Image, PassesOverMetadata) {
  const Image picture = test_picture(57, 41);
  const std::string big(2 << 20, 'a');
  std::vector<std::pair<std::string, std::string>> many(120, {"tEXt", std::string("Comment\0hello", 13)});
  for (const auto& chunks : std::vector<std::vector<std::pair<std::string, std::string>>>{
           {{"iTXt", std::string("XML:com.adobe.xmp\0\0\0\0\0", 22) + big}},
           {{"caBX", big}},
           {{"tEXt", std::string("workflow\0", 9) + big}},
           {{"zTXt", std::string("x\0\0broken", 9)}},
           {{"iCCP", std::string("profile\0\0not deflated", 22)}},
           {{"eXIf", "neither II nor MM"}},
           {{"gAMA", std::string(4, '\0')}, {"cHRM", "short"}, {"sRGB", ""}, {"pHYs", ""}, {"tIME", "x"}},
           many}) {
    EXPECT_EQ(decode_image(make_png({.width = 57, .height = 41, .rows = picture.pixels, .chunks = chunks}),
                           kLimits, false)
                  .pixels,
              picture.pixels)
        << chunks[0].first;
  }
  std::string bad_sum =
      make_png({.width = 57, .height = 41, .rows = picture.pixels, .chunks = {{"tEXt", "abcdef"}}});
  bad_sum[bad_sum.find("abcdef") + 7] ^= 1;
  EXPECT_EQ(decode_image(bad_sum, kLimits, false).pixels, picture.pixels);

  const std::string jpeg = make_jpeg(picture);
  const std::vector<uint8_t> pixels = decode_image(jpeg, kLimits, false).pixels;
  const std::string most(65533, 'b');
  std::string segments = jpeg;
  for (int i = 0; i < 60; ++i) segments = with_jpeg_segment(segments, i % 2 == 0 ? 0xe2 : 0xfe, most);
  EXPECT_EQ(decode_image(segments, kLimits, false).pixels, pixels);
  for (const std::string& exif : {std::string("Exif\0\0", 6), std::string("Exif\0\0MM\0*\0\0\xff\xff", 14),
                                  std::string("Exif\0\0II*\0\x08\0\0\0\xff\xff", 16), std::string("Exif")}) {
    EXPECT_EQ(decode_image(with_jpeg_segment(jpeg, 0xe1, exif), kLimits, false).pixels, pixels);
  }
  EXPECT_EQ(decode_image("\xff\xd8\xff\xff\xff" + jpeg.substr(3), kLimits, false).pixels, pixels);
}

TEST(Image, RefusesWhatIsNotJpegPngOrWebp) {
  for (const std::string bytes :
       {"", "\xff\xd8", "GIF89a", "BM", "<svg/>", "RIFF....WAVEfmt ", "hello, world"}) {
    EXPECT_EQ(error_code_of(bytes), "image_format_unsupported") << bytes;
  }
}

TEST(Image, RefusesWhatIsBeyondALimit) {
  const std::string file = make_png(rgb_png(test_picture(60, 20)));
  EXPECT_EQ(error_code_of(file, {.max_bytes = static_cast<int64_t>(file.size()) - 1}), "image_too_large");
  EXPECT_EQ(error_code_of(file, {.max_pixels = 1199}), "image_too_large");
  EXPECT_EQ(error_code_of(file, {.max_side = 59}), "image_too_large");
  EXPECT_EQ(error_code_of(file, {.max_aspect = 2.9}), "image_aspect");
  const ImageLimits exact{
      .max_bytes = static_cast<int64_t>(file.size()), .max_pixels = 1200, .max_side = 60, .max_aspect = 3};
  EXPECT_EQ(error_code_of(file, exact), "");
}

}  // namespace
}  // namespace uhd
