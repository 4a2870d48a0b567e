// These are the messages between leader and encoders on the control channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "cluster/agreement.h"
#include "cluster/clock_offset.h"
#include "cluster/frame.h"
#include "kernels/dtype.h"

namespace uhd {

constexpr uint32_t kControlProtocol = 4;
constexpr uint32_t kMaxSliceSide = 1 << 15;

using Nonce = std::vector<uint8_t>;  // 32 bytes
using Mac = std::vector<uint8_t>;    // 32 bytes

// The leader sends a Challenge first on every connection.
struct Challenge {
  uint32_t protocol = kControlProtocol;
  Nonce nonce;
};
// The encoder says to the leader who it is; `mac` proves that it knows the secret (handshake.h).
struct Hello {
  uint32_t protocol = kControlProtocol;
  Facts facts;          // facts of the checkpoint and its preprocessing; they must equal the leader's
  std::string backend;  // a description for logs
  std::string host;
  uint32_t capacity = 1;    // the slices it likes to have at once
  int32_t world_rank = -1;  // its rank in the leader's MPI job; -1: it is in another job
  std::string device;       // DeviceTransport::device; empty: rows cannot come from device to device
  Nonce nonce;
  Mac mac;
};
// Rows travel over a second TCP connection, over MPI within one job, or from device to device.
enum class LinkKind : uint8_t { tcp, mpi, device };
const char* name_of(LinkKind kind);

// The leader takes the encoder.
struct Welcome {
  uint32_t encoder = 0;  // the leader's number for this connection
  LinkKind link = LinkKind::tcp;
  Nonce ticket;                    // a second TCP connection shows it
  std::vector<uint8_t> transport;  // the TransportId of a device link
  double heartbeat_s = 1;
  double lost_after_s = 5;
  Mac mac;  // proves that the leader knows the secret too
};
struct Refused {
  std::string reason;
};
// The encoder sends a LinkHello first on the second connection; the leader sends one back once it has
// accepted it.
struct LinkHello {
  uint32_t encoder = 0;
  Nonce ticket;
};
struct LinkReady {};

// The leader sends the encoder one slice.
struct EncodeJob {
  uint64_t job = 0;  // a leader never uses one twice: a retry is a new job
  Fingerprint fingerprint;
  uint32_t width = 0;  // pixels
  uint32_t height = 0;
  std::vector<uint8_t> pixels;  // u8 RGB HWC, width * height * 3 bytes
  uint32_t deadline_ms = 0;     // the leader waits this long
};
// The encoder tells the leader that rows wait there until Go.
struct Encoded {
  uint64_t job = 0;
  uint32_t rows = 0;
  uint32_t width = 0;
  DType dtype = DType::f32;
  float seconds = 0;  // the time spent encoding
  // Its way there, by the encoder's clock: the job came, its pass of the tower began and ended, this left.
  // An encoder on a device does not know when a pass ended: 0.
  ClockStamp came = 0;
  ClockStamp begun = 0;
  ClockStamp ended = 0;
  ClockStamp left = 0;
};
struct EncodeFailed {
  uint64_t job = 0;
  std::string reason;
};
// The leader has posted the receive: the encoder sends the rows.
struct Go {
  uint64_t job = 0;
};
// The leader has received the rows: the encoder frees them.
struct Done {
  uint64_t job = 0;
};
// The leader may cancel a job at any time; a job already in transfer finishes.
struct Cancel {
  uint64_t job = 0;
};
// The channels themselves send heartbeats, both ways.
struct Heartbeat {
  uint32_t outstanding = 0;
};

using ControlMessage = std::variant<Challenge, Hello, Welcome, Refused, LinkHello, LinkReady, EncodeJob,
                                    Encoded, EncodeFailed, Go, Done, Cancel, Heartbeat>;

// Returns the whole frame.
std::vector<std::byte> encode_message(const ControlMessage& message);
// Checks every field's range. An unknown type, a length that does not fit or a bad value is an Error.
ControlMessage decode_message(FrameType type, std::span<const std::byte> payload);
// Returns the most payload bytes that a frame of this type may have; 0 for unknown types.
size_t max_payload(FrameType type);

}  // namespace uhd
