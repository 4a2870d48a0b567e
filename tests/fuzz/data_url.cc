// Reads data URLs of images, and base64.
#include "net/data_url.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_data_url(std::string_view bytes) {
  constexpr int64_t kMost = 1 << 12;
  decode_base64(bytes);
  const auto image = decode_image_url(bytes, kMost);
  if (const auto* file = std::get_if<std::string>(&image)) {
    must_hold(static_cast<int64_t>(file->size()) <= kMost, "an image is larger than the limit");
    must_hold(is_image_file(*file), "an image has no magic bytes");
    return true;
  }
  const int status = std::get<ApiError>(image).status;
  must_hold(status == 400 || status == 413, "a URL is refused with another status");
  return false;
}

}  // namespace uhd
