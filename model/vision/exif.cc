#include "model/vision/exif.h"

#include <cstdint>

namespace uhd {
namespace {

// Unsigned integers of either byte order; reads past the end are zero, which no field here takes for valid.
class Reader {
 public:
  Reader(std::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  uint32_t number(size_t at, int length) const {
    if (at > bytes_.size() || bytes_.size() - at < static_cast<size_t>(length)) return 0;
    uint32_t value = 0;
    for (int i = 0; i < length; ++i) {
      const auto byte = static_cast<uint8_t>(bytes_[at + (big_endian_ ? i : length - 1 - i)]);
      value = value << 8 | byte;
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(std::string_view tiff) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  constexpr uint32_t kOrientation = 0x0112, kShort = 3, kLong = 4;
  constexpr size_t kEntryBytes = 12;
  if (tiff.starts_with(kPrefix)) tiff.remove_prefix(kPrefix.size());
  if (!tiff.starts_with("II") && !tiff.starts_with("MM")) return 1;
  const Reader reader(tiff, tiff[0] == 'M');
  if (reader.number(2, 2) != 42) return 1;
  const size_t directory = reader.number(4, 4);
  const uint32_t entries = reader.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (entry >= tiff.size()) break;
    if (reader.number(entry, 2) != kOrientation) continue;
    const uint32_t type = reader.number(entry + 2, 2);
    if ((type != kShort && type != kLong) || reader.number(entry + 4, 4) != 1) return 1;
    const uint32_t value = reader.number(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace uhd
