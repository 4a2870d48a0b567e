// Bicubic resize with the pixel semantics of PIL: antialiased support, a = −0.5, two passes (horizontal
// first) in 8-bit fixed point, bit for bit.
#pragma once

#include "model/vision/image.h"

namespace uhd {

Image resize_bicubic(const Image& image, int width, int height);

}  // namespace uhd
