#include "app/load_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace uhd {
namespace {

using Colour = std::array<uint8_t, 3>;

// Library distributions differ from one implementation to the next; this does not.
int drawn_below(std::mt19937_64& random, int count) {
  return static_cast<int>(random() % static_cast<uint64_t>(count));
}

Colour drawn_colour(std::mt19937_64& random, int darkest, int lightest) {
  Colour colour{};
  for (uint8_t& c : colour) c = static_cast<uint8_t>(darkest + drawn_below(random, lightest - darkest + 1));
  return colour;
}

void paint(Image& image, int x, int y, int width, int height, Colour colour) {
  const int left = std::clamp(x, 0, image.width), right = std::clamp(x + width, left, image.width);
  const int top = std::clamp(y, 0, image.height), bottom = std::clamp(y + height, top, image.height);
  for (int row = top; row < bottom; ++row) {
    uint8_t* at = &image.pixels[3 * (static_cast<size_t>(row) * image.width + left)];
    for (int column = left; column < right; ++column, at += 3) std::copy(colour.begin(), colour.end(), at);
  }
}

// Coarse colours, with everything between them by straight lines, as light and blur have them.
void paint_light(Image& image, std::mt19937_64& random) {
  constexpr int kCells = 12;
  std::array<std::array<Colour, kCells + 1>, kCells + 1> corners{};
  for (auto& row : corners) {
    for (Colour& colour : row) colour = drawn_colour(random, 0, 255);
  }
  for (int y = 0; y < image.height; ++y) {
    const double v = static_cast<double>(y) * kCells / image.height;
    const auto row = static_cast<size_t>(v);
    const double down = v - static_cast<double>(row);
    uint8_t* at = &image.pixels[size_t{3} * y * image.width];
    for (int x = 0; x < image.width; ++x, at += 3) {
      const double u = static_cast<double>(x) * kCells / image.width;
      const auto column = static_cast<size_t>(u);
      const double across = u - static_cast<double>(column);
      for (size_t c = 0; c < 3; ++c) {
        const double top = corners[row][column][c] * (1 - across) + corners[row][column + 1][c] * across;
        const double bottom =
            corners[row + 1][column][c] * (1 - across) + corners[row + 1][column + 1][c] * across;
        at[c] = static_cast<uint8_t>(top * (1 - down) + bottom * down);
      }
    }
  }
}

// Lines of words in a box: dark marks of one height and many widths.
void paint_words(Image& image, int x, int y, int width, int height, int line, Colour ink,
                 std::mt19937_64& random) {
  for (int top = y; top + line <= y + height; top += line * 2) {
    const int length = width * (60 + drawn_below(random, 41)) / 100;
    for (int at = x; at < x + length;) {
      const int word = line * (1 + drawn_below(random, 5));
      paint(image, at, top, std::min(word, x + length - at), line, ink);
      at += word + line / 2 + 1;
    }
  }
}

void paint_document(Image& image, std::mt19937_64& random) {
  const Colour ink{30, 30, 30};
  const int margin = image.width / 10, line = std::max(2, image.height / 110);
  paint_words(image, margin, margin, image.width - 2 * margin, 3 * line, 3 * line, ink, random);
  paint_words(image, margin, margin + 6 * line, image.width - 2 * margin,
              image.height - 2 * margin - 6 * line, line, ink, random);
}

void paint_screenshot(Image& image, std::mt19937_64& random) {
  paint(image, 0, 0, image.width, image.height, drawn_colour(random, 215, 250));
  paint(image, 0, 0, image.width, image.height / 18, drawn_colour(random, 20, 120));
  const int line = std::max(2, image.height / 90);
  for (int i = 0; i < 8; ++i) {
    const int x = drawn_below(random, image.width), y = image.height / 18 + drawn_below(random, image.height);
    const int width = image.width / 8 + drawn_below(random, image.width / 3 + 1);
    const int height = image.height / 12 + drawn_below(random, image.height / 4 + 1);
    paint(image, x, y, width, height, drawn_colour(random, 150, 255));
    paint_words(image, x + line, y + line, width - 2 * line, height - 2 * line, line, {40, 40, 40}, random);
  }
}

void paint_poster(Image& image, std::mt19937_64& random) {
  paint_light(image, random);
  const int line = std::max(3, image.height / 14);
  paint_words(image, image.width / 12, image.height / 10, image.width * 10 / 12, 3 * line, line,
              drawn_colour(random, 0, 90), random);
  paint_words(image, image.width / 6, image.height * 7 / 10, image.width * 2 / 3, image.height / 6,
              std::max(2, line / 5), drawn_colour(random, 0, 60), random);
}

}  // namespace

DrawnPicture choose_picture(const std::string& kind, std::mt19937_64& random) {
  // Cameras and phones; A4 and letter at 100 to 200 dots an inch; screens of desks and phones; print.
  static const std::vector<std::pair<int, int>> kSizes[] = {
      {{4032, 3024}, {3024, 4032}, {1920, 1080}, {1600, 1200}, {1024, 768}, {1080, 1350}},
      {{827, 1169}, {1240, 1754}, {1654, 2339}, {850, 1100}, {1700, 2200}},
      {{1280, 720}, {1920, 1080}, {2560, 1440}, {1366, 768}, {1170, 2532}},
      {{1200, 1800}, {1500, 2250}, {1080, 1920}, {800, 2400}, {2400, 800}}};
  const int drawn = drawn_below(random, static_cast<int>(std::size(kPictureKinds)));
  for (size_t i = 0; i < std::size(kPictureKinds); ++i) {
    if (kind != kPictureKinds[i] && (kind != "mixed" || static_cast<int>(i) != drawn)) continue;
    const auto& [width, height] =
        kSizes[i][static_cast<size_t>(drawn_below(random, static_cast<int>(kSizes[i].size())))];
    return {kPictureKinds[i], width, height, random() >> 12};
  }
  throw Error(message("'", kind, "' is no kind of picture: photo, document, screenshot, poster or mixed"));
}

Image draw_picture(const DrawnPicture& picture) {
  require(picture.width >= 1 && picture.height >= 1 && picture.width <= kLargestDrawnSide &&
              picture.height <= kLargestDrawnSide,
          "a picture of ", picture.width, "x", picture.height, " pixels: sides are within 1 to ",
          kLargestDrawnSide);
  std::mt19937_64 random(picture.seed);
  Image image{picture.width, picture.height, {}};
  image.pixels.assign(size_t{3} * image.width * image.height, 255);
  if (picture.kind == "photo") {
    paint_light(image, random);
  } else if (picture.kind == "document") {
    paint_document(image, random);
  } else if (picture.kind == "screenshot") {
    paint_screenshot(image, random);
  } else if (picture.kind == "poster") {
    paint_poster(image, random);
  } else {
    throw Error(message("'", picture.kind, "' is no kind of picture: photo, document, screenshot or poster"));
  }
  return image;
}

}  // namespace uhd
