#include "model/vision/png_writer.h"

#include <png.h>

namespace uhd {

std::string encode_png(const Image& image) {
  check(image.width > 0 && image.height > 0 && image.pixels.size() == size_t{3} * image.width * image.height,
        "an image of ", image.width, "x", image.height, " holds ", image.pixels.size(), " bytes");
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(png), '\0');
  png_alloc_size_t size = bytes.size();
  const int written =
      png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr);
  require(written != 0, "a picture of ", image.width, "x", image.height, " pixels cannot be written as PNG");
  bytes.resize(size);
  return bytes;
}

}  // namespace uhd
