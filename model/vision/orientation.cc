#include "model/vision/orientation.h"

#include <algorithm>

namespace uhd {
namespace {

// The pixel of an upright picture lies in the stored one at origin + x · step_x + y · step_y.
struct Walk {
  int64_t origin, step_x, step_y;
};

Walk walk_of(Orientation o, int64_t width, int64_t height) {
  const int64_t across = o.flip_across ? -1 : 1;
  const int64_t down = o.flip_down ? -width : width;
  const int64_t origin = (o.flip_across ? width - 1 : 0) + (o.flip_down ? (height - 1) * width : 0);
  return o.swap ? Walk{origin, down, across} : Walk{origin, across, down};
}

}  // namespace

Orientation orientation_of(int exif) {
  return {.swap = exif >= 5,
          .flip_across = exif == 2 || exif == 3 || exif == 7 || exif == 8,
          .flip_down = exif == 3 || exif == 4 || exif == 6 || exif == 7};
}

// Tile by tile, since a quarter turn reads down the columns.
Image turned_upright(Image stored, Orientation orientation) {
  if (!orientation.swap && !orientation.flip_across && !orientation.flip_down) return stored;
  const Size size = orientation.swapped({stored.width, stored.height});
  Image turned{static_cast<int>(size.width), static_cast<int>(size.height),
               std::vector<uint8_t>(stored.pixels.size())};
  const Walk walk = walk_of(orientation, stored.width, stored.height);
  constexpr int kTile = 32;
  for (int tile_y = 0; tile_y < turned.height; tile_y += kTile) {
    for (int tile_x = 0; tile_x < turned.width; tile_x += kTile) {
      const int end_y = std::min(tile_y + kTile, turned.height);
      const int end_x = std::min(tile_x + kTile, turned.width);
      for (int y = tile_y; y < end_y; ++y) {
        uint8_t* out = &turned.pixels[(static_cast<size_t>(y) * turned.width + tile_x) * 3];
        for (int x = tile_x; x < end_x; ++x, out += 3) {
          const uint8_t* in = &stored.pixels[(walk.origin + x * walk.step_x + y * walk.step_y) * 3];
          out[0] = in[0];
          out[1] = in[1];
          out[2] = in[2];
        }
      }
    }
  }
  return turned;
}

}  // namespace uhd
