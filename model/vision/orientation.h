// An Orientation says how a picture lies in its file, and how it becomes upright. Pictures are resized as
// they lie, row by row; only the small result is turned.
#pragma once

#include "model/vision/image.h"

namespace uhd {

// A stored picture is upright after it is mirrored along the flipped axes, and then transposed where `swap`.
struct Orientation {
  bool swap = false;
  bool flip_across = false;  // the stored columns are reversed
  bool flip_down = false;    // the stored rows are reversed

  // The stored size of what is this large upright, and the other way round.
  Size swapped(Size size) const { return swap ? Size{size.height, size.width} : size; }
};

// EXIF's number, 1 to 8.
Orientation orientation_of(int exif);

Image turned_upright(Image stored, Orientation orientation);

}  // namespace uhd
