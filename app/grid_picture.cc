#include "app/grid_picture.h"

#include <algorithm>
#include <string>

namespace uhd {
namespace {

constexpr uint8_t kWhite = 255, kBlack = 0;

void fill(Image& image, int x, int y, int width, int height, uint8_t grey) {
  const int left = std::clamp(x, 0, image.width), right = std::clamp(x + width, left, image.width);
  const int top = std::clamp(y, 0, image.height), bottom = std::clamp(y + height, top, image.height);
  for (int row = top; row < bottom; ++row) {
    const size_t start = (static_cast<size_t>(row) * image.width + left) * 3;
    std::fill_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(start), size_t{3} * (right - left), grey);
  }
}

// Returns where the lower border of part `index` of `parts` lies.
int border(int length, int index, int parts) {
  return static_cast<int>((static_cast<int64_t>(length) * index + parts / 2) / parts);
}

// Digits of 3 by 5 dots, a row in three bits.
constexpr int kDigitWidth = 3, kDigitHeight = 5;
constexpr uint8_t kDigits[10][kDigitHeight] = {
    {7, 5, 5, 5, 7}, {2, 6, 2, 2, 7}, {7, 1, 7, 4, 7}, {7, 1, 7, 1, 7}, {5, 5, 7, 1, 1},
    {7, 4, 7, 1, 7}, {7, 4, 7, 5, 7}, {7, 1, 1, 1, 1}, {7, 5, 7, 5, 7}, {7, 5, 7, 1, 7}};

void draw_number(Image& image, int x, int y, int dot, int number) {
  const std::string digits = std::to_string(number);
  const int width = static_cast<int>(digits.size()) * (kDigitWidth + 1) + 1;
  fill(image, x, y, width * dot, (kDigitHeight + 2) * dot, kWhite);
  for (size_t i = 0; i < digits.size(); ++i) {
    const int left = x + dot * (1 + static_cast<int>(i) * (kDigitWidth + 1));
    for (int row = 0; row < kDigitHeight; ++row) {
      for (int column = 0; column < kDigitWidth; ++column) {
        const bool set = (kDigits[digits[i] - '0'][row] >> (kDigitWidth - 1 - column) & 1) != 0;
        if (set) fill(image, left + column * dot, y + (1 + row) * dot, dot, dot, kBlack);
      }
    }
  }
}

}  // namespace

Image draw_grid(Image image, const SlicePlan& plan) {
  if (plan.slices() == 0) return image;
  const int line = std::max(1, std::max(image.width, image.height) / 600);
  for (const auto& [half, grey] : {std::pair{line + line / 2 + 1, kWhite}, {line / 2 + 1, kBlack}}) {
    for (int column = 1; column < plan.columns; ++column) {
      fill(image, border(image.width, column, plan.columns) - half, 0, 2 * half, image.height, grey);
    }
    for (int row = 1; row < plan.rows; ++row) {
      fill(image, 0, border(image.height, row, plan.rows) - half, image.width, 2 * half, grey);
    }
  }
  for (int i = 0; i < plan.slices(); ++i) {
    const int x = border(image.width, i % plan.columns, plan.columns);
    const int y = border(image.height, i / plan.columns, plan.rows);
    draw_number(image, x + 4 * line, y + 4 * line, 2 * line, i + 1);
  }
  return image;
}

}  // namespace uhd
