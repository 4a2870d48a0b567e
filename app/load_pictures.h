// Draws pictures that stand for what people send: photos, documents, screenshots and posters. They are drawn
// from a seed and hold no one's data; sizes are those of cameras, scanners, screens and print.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "model/vision/image.h"

namespace uhd {

struct DrawnPicture {
  std::string kind = "photo";  // photo, document, screenshot, poster
  int width = 0;
  int height = 0;
  uint64_t seed = 0;
  std::string file;  // a PNG or JPEG that is sent as it is; then nothing is drawn
};

constexpr int kLargestDrawnSide = 8192;
constexpr const char* kPictureKinds[] = {"photo", "document", "screenshot", "poster"};

// Chooses a size that such pictures have, and a seed. `kind` is one of kPictureKinds, or "mixed": then the
// kind is drawn too.
DrawnPicture choose_picture(const std::string& kind, std::mt19937_64& random);

// Returns the same picture for the same description. A kind that is unknown, or a side that is not within 1
// and kLargestDrawnSide, is an Error.
Image draw_picture(const DrawnPicture& picture);

}  // namespace uhd
