// Reads the answer of an image's server, in pieces of the size that the first byte says.
#include <algorithm>

#include "net/data_url.h"
#include "net/remote_image.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

class GivenStream final : public ImageStream {
 public:
  GivenStream(std::string_view bytes, size_t piece) : bytes_(bytes), piece_(piece) {}
  bool write(std::string_view) override { return true; }
  ptrdiff_t read(std::span<char> bytes) override {
    const size_t size = std::min({bytes.size(), bytes_.size(), piece_});
    std::copy_n(bytes_.data(), size, bytes.data());
    bytes_.remove_prefix(size);
    return static_cast<ptrdiff_t>(size);
  }

 private:
  std::string_view bytes_;
  size_t piece_;
};

}  // namespace

bool fuzz_image_answer(std::string_view bytes) {
  if (bytes.empty()) return false;
  constexpr int64_t kMost = 1000;
  GivenStream stream(bytes.substr(1), size_t{static_cast<uint8_t>(bytes[0])} + 1);
  int64_t room = 0;
  const auto result = read_image_answer(stream, kMost, [&](int64_t taken) {
    room += taken;
    return true;
  });
  must_hold(room <= (1 << 20) + static_cast<int64_t>(bytes.size()),
            "room is taken for bytes that did not come");
  if (const auto* error = std::get_if<ApiError>(&result)) {
    must_hold(error->status == 400 || error->status == 413, "an answer is refused with another status");
    return false;
  }
  const auto& image = std::get<std::string>(result);
  must_hold(static_cast<int64_t>(image.size()) <= kMost, "an image is larger than the limit");
  must_hold(is_image_file(image), "an image has no magic bytes");
  return true;
}

}  // namespace uhd
