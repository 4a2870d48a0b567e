// Turns pixels into a PNG file's bytes, for people to look at.
#pragma once

#include <string>

#include "model/vision/image.h"

namespace uhd {

// Throws Error when there is no memory for it.
std::string encode_png(const Image& image);

}  // namespace uhd
