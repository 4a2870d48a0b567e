// The one thing needed of EXIF: which way up the picture is.
#pragma once

#include <string_view>

namespace uhd {

// `tiff` is the EXIF block from its byte-order mark on (a leading "Exif\0\0" is skipped). 1 to 8; 1 where it
// is absent, damaged or says anything else. Reads the first directory only and follows no chain.
int exif_orientation(std::string_view tiff);

}  // namespace uhd
