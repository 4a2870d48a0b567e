// What leader and encoders say to each other on the control channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "cluster/agreement.h"
#include "cluster/frame.h"
#include "kernels/dtype.h"

namespace uhd {

constexpr uint32_t kControlProtocol = 3;
constexpr uint32_t kMaxSliceSide = 1 << 15;

using Nonce = std::vector<uint8_t>;  // 32 bytes
using Mac = std::vector<uint8_t>;    // 32 bytes

// leader -> encoder, first on every connection.
struct Challenge {
  uint32_t protocol = kControlProtocol;
  Nonce nonce;
};
// encoder -> leader: who I am; `mac` proves that I know the secret (handshake.h).
struct Hello {
  uint32_t protocol = kControlProtocol;
  Facts facts;          // of the checkpoint and its preprocessing: must equal the leader's
  std::string backend;  // for logs
  std::string host;
  uint32_t capacity = 1;    // slices it likes to have at once
  int32_t world_rank = -1;  // in the leader's MPI job; -1: in another job
  std::string device;       // DeviceTransport::device; empty: rows cannot come from device to device
  Nonce nonce;
  Mac mac;
};
// How rows travel: over a second TCP connection, over MPI within one job, or from device to device.
enum class LinkKind : uint8_t { tcp, mpi, device };
const char* name_of(LinkKind kind);

// leader -> encoder.
struct Welcome {
  uint32_t encoder = 0;  // the leader's number for this connection
  LinkKind link = LinkKind::tcp;
  Nonce ticket;                    // what a second TCP connection shows
  std::vector<uint8_t> transport;  // TransportId of a device link
  double heartbeat_s = 1;
  double lost_after_s = 5;
  Mac mac;  // the leader knows the secret too
};
struct Refused {
  std::string reason;
};
// encoder -> leader, first on the second connection; leader -> encoder, once it is accepted.
struct LinkHello {
  uint32_t encoder = 0;
  Nonce ticket;
};
struct LinkReady {};

// leader -> encoder: one slice.
struct EncodeJob {
  uint64_t job = 0;  // never used twice by a leader: a retry is a new job
  Fingerprint fingerprint;
  uint32_t width = 0;  // pixels
  uint32_t height = 0;
  std::vector<uint8_t> pixels;  // u8 RGB HWC, width·height·3
  uint32_t deadline_ms = 0;     // how long the leader will wait
};
// encoder -> leader: rows wait here until Go.
struct Encoded {
  uint64_t job = 0;
  uint32_t rows = 0;
  uint32_t width = 0;
  DType dtype = DType::f32;
  float seconds = 0;  // spent encoding
};
struct EncodeFailed {
  uint64_t job = 0;
  std::string reason;
};
// leader -> encoder: the receive is posted, send the rows.
struct Go {
  uint64_t job = 0;
};
// leader -> encoder: the rows have arrived, free them.
struct Done {
  uint64_t job = 0;
};
// leader -> encoder, at any time; a job already in transfer finishes.
struct Cancel {
  uint64_t job = 0;
};
// Both ways; sent by the channels themselves.
struct Heartbeat {
  uint32_t outstanding = 0;
};

using ControlMessage = std::variant<Challenge, Hello, Welcome, Refused, LinkHello, LinkReady, EncodeJob,
                                    Encoded, EncodeFailed, Go, Done, Cancel, Heartbeat>;

// The whole frame.
std::vector<std::byte> encode_message(const ControlMessage& message);
// Checks every field's range; an unknown type, a length that does not fit or a bad value is an Error.
ControlMessage decode_message(FrameType type, std::span<const std::byte> payload);
// The most payload bytes a frame of this type may have; unknown types 0.
size_t max_payload(FrameType type);

}  // namespace uhd
