#include "cluster/frame.h"

#include <array>

#include "base/archive.h"

namespace uhd {
namespace {

constexpr uint32_t kMagic = 0x44485546;  // "FUHD"

// Eight tables, so that eight bytes are taken a step: table[k][b] is the remainder of byte b followed by k
// zeros.
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> t{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    t[0][b] = crc;
  }
  for (uint32_t b = 0; b < 256; ++b) {
    for (size_t k = 1; k < 8; ++k) t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  }
  return t;
}();

uint32_t load32(const std::byte* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

uint32_t checksum_of(std::span<const std::byte> header, std::span<const std::byte> payload) {
  return crc32c(payload, crc32c(header.first(kFrameHeaderBytes - sizeof(uint32_t))));
}

void put_header(std::vector<std::byte>& out, FrameType type, uint32_t length) {
  Writer write(out);
  write(kMagic, kFrameVersion, type, length);
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  crc = ~crc;
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const uint32_t low = load32(p) ^ crc;
    const uint32_t high = load32(p + 4);
    crc = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^ kTables[5][(low >> 16) & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][(high >> 8) & 0xff] ^
          kTables[1][(high >> 16) & 0xff] ^ kTables[0][high >> 24];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint32_t>(*p)) & 0xff];
  return ~crc;
}

std::vector<std::byte> write_frame(FrameType type, std::span<const std::byte> payload,
                                   std::span<const std::byte> rest) {
  const size_t length = payload.size() + rest.size();
  check(length <= UINT32_MAX, "a frame holds at most 4 GiB, not ", length, " bytes");
  std::vector<std::byte> out;
  out.reserve(kFrameHeaderBytes + length);
  put_header(out, type, static_cast<uint32_t>(length));
  const uint32_t checksum = crc32c(rest, crc32c(payload, crc32c(out)));
  Writer write(out);
  write(checksum);
  out.insert(out.end(), payload.begin(), payload.end());
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

FrameHeader read_frame_header(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  uint32_t magic = 0;
  uint16_t version = 0;
  FrameHeader header;
  Reader read(bytes);
  read(magic, version, header.type, header.length, header.checksum);
  require(magic == kMagic, "the peer does not speak this program's protocol");
  require(version == kFrameVersion, "the peer's frames have version ", version, ", this program's ",
          kFrameVersion);
  return header;
}

void check_payload(const FrameHeader& header, std::span<const std::byte> payload) {
  require(payload.size() == header.length, "a frame says ", header.length, " bytes but holds ",
          payload.size());
  std::vector<std::byte> start;
  put_header(start, header.type, header.length);
  start.resize(kFrameHeaderBytes);
  require(checksum_of(start, payload) == header.checksum, "a frame's checksum is wrong");
}

std::span<const std::byte> read_frame(FrameType type, std::span<const std::byte> frame, size_t max_payload) {
  require(frame.size() >= kFrameHeaderBytes, "a frame is truncated: ", frame.size(), " bytes");
  const FrameHeader header = read_frame_header(frame.first<kFrameHeaderBytes>());
  require(header.type == type, "a frame of type ", static_cast<int>(header.type), " came, type ",
          static_cast<int>(type), " was expected");
  require(header.length <= max_payload, "a frame of ", header.length, " bytes is over the limit of ",
          max_payload);
  const auto payload = frame.subspan(kFrameHeaderBytes);
  check_payload(header, payload);
  return payload;
}

}  // namespace uhd
