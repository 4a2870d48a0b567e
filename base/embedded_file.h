// An EmbeddedFile is a file of the sources whose bytes are part of the program (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace uhd {

struct EmbeddedFile {
  std::string_view name;
  std::string_view content;
};

}  // namespace uhd
