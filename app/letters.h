// Writes text into a picture, in DejaVu Sans, whose two files in app/font/ are part of the program, so that
// no font of the system is asked for. FreeType stays in the .cc file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "model/vision/image.h"

namespace uhd {

struct Colour {
  uint8_t red = 0, green = 0, blue = 0;
};

struct TextStyle {
  int pixels = 16;  // pixels of an em
  bool bold = false;
  Colour colour;
};

// Text is UTF-8. Characters that the font lacks, and invalid bytes, are written as U+FFFD. One thread.
class Letters {
 public:
  Letters();
  ~Letters();

  // Returns the width of one line, in pixels.
  int width(std::string_view text, const TextStyle& style) const;
  // Writes one line that begins at `x` and stands on `baseline`. The part outside the picture is left out.
  void write(Image& image, int x, int baseline, std::string_view text, const TextStyle& style) const;
  // Returns the text, or its longest beginning that fits into `width` pixels with "…" behind it.
  std::string shortened(std::string_view text, int width, const TextStyle& style) const;

 private:
  class Faces;
  std::unique_ptr<Faces> faces_;
};

}  // namespace uhd
