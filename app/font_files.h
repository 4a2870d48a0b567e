// The files of app/font/, which are part of the program (cmake/embed.cmake): DejaVu Sans in two weights, with
// the letters of Europe's languages and a few signs. NOTICE holds their licence, and says how they were made.
#pragma once

#include <span>

#include "base/embedded_file.h"

namespace uhd {

// Returns every file of the folder.
std::span<const EmbeddedFile> font_files();

}  // namespace uhd
