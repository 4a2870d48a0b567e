// Wraps every message of the control channel, the plans and the visual rows in a binary frame of fixed
// layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace uhd {

// These numbers are on the wire.
enum class FrameType : uint16_t {
  challenge = 1,
  hello = 2,
  welcome = 3,
  refused = 4,
  link_hello = 5,
  link_ready = 6,
  encode_job = 16,
  encoded = 17,
  encode_failed = 18,
  go = 19,
  done = 20,
  cancel = 21,
  heartbeat = 22,
  step_plan = 32,
  visual_rows = 33,
};

// A header lies on the wire in little-endian order: magic u32, version u16, type u16, payload length u32,
// checksum u32; the payload follows. The checksum is CRC-32C over the first twelve bytes and the payload. It
// finds damage and confusion, not malice.
struct FrameHeader {
  FrameType type{};
  uint32_t length = 0;
  uint32_t checksum = 0;
};
constexpr size_t kFrameHeaderBytes = 16;
constexpr uint16_t kFrameVersion = 1;

// Returns header and payload in one buffer; the payload may come in two parts.
std::vector<std::byte> write_frame(FrameType type, std::span<const std::byte> payload,
                                   std::span<const std::byte> rest = {});

// Checks magic and version. Before it allocates, the caller compares the length with the limit of the type.
FrameHeader read_frame_header(std::span<const std::byte, kFrameHeaderBytes> bytes);

// Throws an Error unless the payload has the header's length and checksum.
void check_payload(const FrameHeader& header, std::span<const std::byte> payload);

// Returns the payload of one whole frame of this type. Anything else (truncated, oversize, damaged) is an
// Error.
std::span<const std::byte> read_frame(FrameType type, std::span<const std::byte> frame, size_t max_payload);

// Returns the CRC-32C (Castagnoli), continued from `crc`.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace uhd
