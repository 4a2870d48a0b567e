#include "model/vision/resize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string_view>

#include "base/error.h"
#include "kernels/cpu/isa.h"
#include "model/vision/resize_rows.h"
#include "tests/model/image_files.h"

namespace uhd {
namespace {

Image noise(int width, int height, unsigned seed) {
  Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  std::mt19937 random(seed);
  for (uint8_t& value : image.pixels)
    value = random() % 2 == 0 ? static_cast<uint8_t>(random()) : (random() & 1) * 255;
  return image;
}

// The definition, one pixel at a time: the weight of each input, rounded to 22 bits, and both passes on whole
// pictures.
class NaiveResize {
 public:
  static Image resize(const Image& in, int width, int height) {
    const bool vertical_first = in.height > height && in.height - height > 2 * (in.width - width);
    return vertical_first ? across(down(in, height), width) : down(across(in, width), height);
  }

 private:
  static double cubic(double x) {
    x = std::abs(x);
    if (x < 1) return ((-0.5 + 2) * x - (-0.5 + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
  }

  static uint8_t sample(const Image& in, size_t first_byte, size_t stride, int size, int out_size,
                        int position) {
    const double scale = static_cast<double>(size) / out_size, stretch = std::max(scale, 1.0);
    const double centre = (position + 0.5) * scale;
    const double low = centre - 2 * stretch + 0.5, high = centre + 2 * stretch + 0.5;
    const int begin = std::max(static_cast<int>(low), 0);
    const int end = std::min(static_cast<int>(high), size);
    double total = 0;
    for (int i = begin; i < end; ++i) total += cubic((i - begin + begin - centre + 0.5) * (1.0 / stretch));
    int64_t sum = 1 << 21;
    for (int i = begin; i < end; ++i) {
      const double weight = cubic((i - begin + begin - centre + 0.5) * (1.0 / stretch)) / total * (1 << 22);
      sum += in.pixels[first_byte + i * stride] * static_cast<int64_t>(weight + (weight < 0 ? -0.5 : 0.5));
    }
    return static_cast<uint8_t>(std::clamp<int64_t>(sum >> 22, 0, 255));
  }

  static Image across(const Image& in, int width) {
    if (width == in.width) return in;
    Image out{width, in.height, std::vector<uint8_t>(size_t{3} * width * in.height)};
    for (size_t i = 0; i < out.pixels.size(); ++i) {
      const size_t row = i / 3 / width;
      out.pixels[i] =
          sample(in, row * in.width * 3 + i % 3, 3, in.width, width, static_cast<int>(i / 3 % width));
    }
    return out;
  }

  static Image down(const Image& in, int height) {
    if (height == in.height) return in;
    const size_t stride = size_t{3} * in.width;
    Image out{in.width, height, std::vector<uint8_t>(stride * height)};
    for (size_t i = 0; i < out.pixels.size(); ++i) {
      out.pixels[i] = sample(in, i % stride, stride, in.height, height, static_cast<int>(i / stride));
    }
    return out;
  }
};

TEST(Resize, EqualsTheDefinition) {
  const int sizes[][4] = {{1, 1, 5, 7},     {2, 3, 2, 3},     {17, 13, 17, 5},  {17, 13, 40, 13},
                          {64, 48, 63, 47}, {50, 200, 49, 9}, {200, 50, 9, 49}, {97, 131, 14, 14},
                          {5, 3, 90, 70},   {33, 1, 8, 6},    {1, 33, 6, 8},    {40, 90, 60, 20}};
  unsigned seed = 0;
  for (const auto& [width, height, out_width, out_height] : sizes) {
    const Image image = noise(width, height, ++seed);
    const Image resized = resize_bicubic(image, out_width, out_height);
    EXPECT_EQ(resized.width, out_width);
    EXPECT_EQ(resized.height, out_height);
    EXPECT_EQ(resized.pixels, NaiveResize::resize(image, out_width, out_height).pixels)
        << width << "x" << height << " to " << out_width << "x" << out_height;
  }
}

TEST(Resize, MakesTheSameWindowAsTheWhole) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    const auto side = [&](int most) { return 1 + static_cast<int>(random() % most); };
    const Image image = noise(side(80), side(80), round);
    const Size full{side(120), side(120)};
    const Image whole = resize_bicubic(image, static_cast<int>(full.width), static_cast<int>(full.height));
    Window window{side(whole.width) - 1, side(whole.height) - 1, 0, 0};
    window.width = side(whole.width - window.x);
    window.height = side(whole.height - window.y);
    const auto part = resize_bicubic_window(image, full, window);
    for (int y = 0; y < window.height; ++y) {
      const size_t row = size_t{3} * window.width;
      const auto* want = &whole.pixels[3 * (size_t{1} * (window.y + y) * whole.width + window.x)];
      ASSERT_TRUE(std::equal(&part[y * row], &part[y * row] + row, want)) << round;
    }
  }
}

TEST(Resize, KeepsOneColourOneColour) {
  for (const auto& [width, height] : {std::pair{1, 1}, {7, 300}, {300, 7}, {64, 64}}) {
    Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(10 + i % 3 * 100);
    for (const auto& [out_width, out_height] : {std::pair{14, 700}, {333, 20}, {64, 63}}) {
      const Image resized = resize_bicubic(image, out_width, out_height);
      for (size_t i = 0; i < resized.pixels.size(); ++i) ASSERT_EQ(resized.pixels[i], 10 + i % 3 * 100);
    }
  }
}

TEST(Resize, CopiesAtTheSameSize) {
  const Image image = noise(31, 17, 1);
  EXPECT_EQ(resize_bicubic(image, 31, 17).pixels, image.pixels);
}

TEST(Resize, RefusesEmptySizesAndWindowsOutside) {
  const Image image = noise(4, 4, 1);
  EXPECT_THROW(resize_bicubic(image, 0, 4), Error);
  EXPECT_THROW(resize_bicubic(image, 4, -1), Error);
  EXPECT_THROW(resize_bicubic({4, 4, {}}, 2, 2), Error);
  EXPECT_THROW(resize_bicubic_window(image, Size{8, 8}, {1, 0, 8, 8}), Error);
  EXPECT_THROW(resize_bicubic_window(image, Size{8, 8}, {0, 0, 0, 8}), Error);
  EXPECT_THROW(resize_bicubic_window(image, Size{8, 8}, {-1, 0, 2, 2}), Error);
}

TEST(Resize, TheChoiceOfInstructionsReachesIt) {
  EXPECT_EQ(&row_kernels("scalar"), &scalar_row_kernels());
  for (const cpu::Table* table : cpu::available_tables()) {
    const RowKernels& want = cpu::has_avx512_bytes(table->name) ? avx512_row_kernels()
                             : cpu::has_avx2(table->name)       ? avx2_row_kernels()
                                                                : scalar_row_kernels();
    EXPECT_EQ(&row_kernels(table->name), &want) << table->name;
  }
  EXPECT_THROW(row_kernels("abacus"), Error);
}

// The kernels that this processor can run, beside the scalar ones.
std::vector<const RowKernels*> vector_kernels() {
  std::vector<const RowKernels*> kernels;
  for (const cpu::Table* table : cpu::available_tables()) {
    if (&row_kernels(table->name) != &scalar_row_kernels()) kernels.push_back(&row_kernels(table->name));
  }
  return kernels;
}

void expect_scalar_rows(const RowKernels& vector, const AxisFilter& filter, int in, int out) {
  const RowKernels& scalar = scalar_row_kernels();
  std::vector<uint8_t> scratch;
  const Image row = noise(in + kRowSlack, 1, in);
  std::vector<uint8_t> want(size_t{3} * out), got(want.size());
  scalar.horizontal(want.data(), row.pixels.data(), filter, scratch);
  vector.horizontal(got.data(), row.pixels.data(), filter, scratch);
  EXPECT_EQ(got, want) << in << " to " << out;
  for (const int bytes : {1, 3, 15, 16, 17, 48, 63, 64, 65, 99, 200}) {
    const Image columns = noise(bytes, in, bytes);
    std::vector<const uint8_t*> rows;
    rows.reserve(in);
    for (int y = 0; y < in; ++y) rows.push_back(&columns.pixels[size_t{3} * y * bytes]);
    for (int y = 0; y < out; ++y) {
      std::vector<uint8_t> expected(bytes), found(bytes);
      scalar.vertical(expected.data(), rows.data() + filter.first[y], filter, y, bytes);
      vector.vertical(found.data(), rows.data() + filter.first[y], filter, y, bytes);
      ASSERT_EQ(found, expected) << in << " to " << out << " at " << y;
    }
  }
}

TEST(Resize, VectorKernelsEqualTheScalarOnes) {
  for (const RowKernels* kernels : vector_kernels()) {
    for (const auto& [in, out] : {std::pair{1, 9},
                                  {2, 70},
                                  {3, 3},
                                  {40, 39},
                                  {100, 7},
                                  {1000, 14},
                                  {1500, 9},
                                  {9, 1000},
                                  {64, 64},
                                  {333, 130}}) {
      expect_scalar_rows(*kernels, make_axis_filter(in, out, 0, out), in, out);
      expect_scalar_rows(*kernels, make_axis_filter(in, out, 0, out, true), in, out);
    }
  }
}

TEST(Resize, TheDigitsOfAWeightMakeTheWeight) {
  for (const auto& [in, out] : {std::pair{1, 9}, {2, 700}, {40, 39}, {100, 7}, {9, 1000}, {5, 5}}) {
    const AxisFilter filter = make_axis_filter(in, out, 0, out);
    for (size_t i = 0; i < filter.weights.size(); ++i) {
      const int8_t* digits = &filter.digits[i / 4 * 12 + i % 4];
      EXPECT_EQ(digits[0] * 65536 + digits[4] * 256 + digits[8], filter.weights[i]);
    }
  }
}

// Stored rows in, stored rows out: turned upright, they are the resized upright picture.
TEST(Resize, AStoredPictureIsResizedAsTheUprightOneWouldBe) {
  std::mt19937 random(11);
  const auto side = [&](int most) { return 1 + static_cast<int>(random() % most); };
  for (int round = 0; round < 400; ++round) {
    const Orientation orientation = orientation_of(1 + round % 8);
    const Image stored = noise(side(90), side(90), round);
    const Image upright = turned_upright(stored, orientation);
    const Size full{side(130), side(130)};
    Window window{side(static_cast<int>(full.width)) - 1, side(static_cast<int>(full.height)) - 1, 0, 0};
    window.width = side(static_cast<int>(full.width) - window.x);
    window.height = side(static_cast<int>(full.height) - window.y);
    const Size piece = orientation.swapped({window.width, window.height});
    Image resized{static_cast<int>(piece.width), static_cast<int>(piece.height), {}};
    ResizeStream stream(
        {upright.width, upright.height}, full, window, orientation, row_kernels("auto"),
        [&](const uint8_t* row) { resized.pixels.insert(resized.pixels.end(), row, row + 3 * piece.width); });
    give_image_rows(stored, [&](const uint8_t* row) { stream.push(row); });
    ASSERT_EQ(turned_upright(resized, orientation).pixels, resize_bicubic_window(upright, full, window))
        << round;
  }
}

TEST(Resize, WeightsStayWithinSixteenBitHalves) {
  for (const int in : {1, 2, 3, 4, 5, 7, 16, 100, 999}) {
    for (const int out : {1, 2, 3, 5, 8, 14, 100, 336, 1001}) {
      const AxisFilter filter = make_axis_filter(in, out, 0, out);
      for (const int32_t weight : filter.weights) {
        EXPECT_LT(std::abs(weight), 3 << (AxisFilter::kPrecision - 1));
      }
    }
  }
}

}  // namespace
}  // namespace uhd
