// The files of net/page/, which are part of the program (cmake/embed.cmake).
#pragma once

#include <span>

#include "base/embedded_file.h"

namespace uhd {

// Returns every file of the folder.
std::span<const EmbeddedFile> page_files();

}  // namespace uhd
