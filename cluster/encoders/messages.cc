#include "cluster/encoders/messages.h"

#include <cmath>

#include "base/archive.h"

namespace uhd {

template <class A>
void serialize(A& a, Challenge& m) {
  a(m.protocol, m.nonce);
}
template <class A>
void serialize(A& a, Hello& m) {
  a(m.protocol, m.facts, m.backend, m.host, m.capacity, m.world_rank, m.device, m.nonce, m.mac);
}
template <class A>
void serialize(A& a, Welcome& m) {
  a(m.encoder, m.link, m.ticket, m.transport, m.heartbeat_s, m.lost_after_s, m.mac);
}
template <class A>
void serialize(A& a, Refused& m) {
  a(m.reason);
}
template <class A>
void serialize(A& a, LinkHello& m) {
  a(m.encoder, m.ticket);
}
template <class A>
void serialize(A&, LinkReady&) {}
template <class A>
void serialize(A& a, EncodeJob& m) {
  a(m.job, m.fingerprint.high, m.fingerprint.low, m.width, m.height, m.deadline_ms, m.pixels);
}
template <class A>
void serialize(A& a, Encoded& m) {
  a(m.job, m.rows, m.width, m.dtype, m.seconds, m.came, m.begun, m.ended, m.left);
}
template <class A>
void serialize(A& a, EncodeFailed& m) {
  a(m.job, m.reason);
}
template <class A>
void serialize(A& a, Go& m) {
  a(m.job);
}
template <class A>
void serialize(A& a, Done& m) {
  a(m.job);
}
template <class A>
void serialize(A& a, Cancel& m) {
  a(m.job);
}
template <class A>
void serialize(A& a, Heartbeat& m) {
  a(m.outstanding);
}

namespace {

constexpr size_t kMaxName = 256;
constexpr size_t kMostFacts = 32;
constexpr size_t kMaxReason = 4096;
constexpr size_t kMaxSmall = 8192;
constexpr size_t kMaxJob = size_t{64} << 20;
constexpr uint32_t kMaxRows = 1 << 20;
constexpr size_t kNonceBytes = 32;
constexpr size_t kMaxTransport = 1024;

template <class M>
constexpr FrameType type_of() {
  using enum FrameType;
  if constexpr (std::is_same_v<M, Challenge>) return challenge;
  if constexpr (std::is_same_v<M, Hello>) return hello;
  if constexpr (std::is_same_v<M, Welcome>) return welcome;
  if constexpr (std::is_same_v<M, Refused>) return refused;
  if constexpr (std::is_same_v<M, LinkHello>) return link_hello;
  if constexpr (std::is_same_v<M, LinkReady>) return link_ready;
  if constexpr (std::is_same_v<M, EncodeJob>) return encode_job;
  if constexpr (std::is_same_v<M, Encoded>) return encoded;
  if constexpr (std::is_same_v<M, EncodeFailed>) return encode_failed;
  if constexpr (std::is_same_v<M, Go>) return go;
  if constexpr (std::is_same_v<M, Done>) return done;
  if constexpr (std::is_same_v<M, Cancel>) return cancel;
  if constexpr (std::is_same_v<M, Heartbeat>) return heartbeat;
}

void valid(const char* field, bool condition) {
  require(condition, "a message's ", field, " is out of range");
}
void name(const char* field, const std::string& text) { valid(field, text.size() <= kMaxName); }
void reason(const std::string& text) { valid("reason", text.size() <= kMaxReason); }
void nonce(const Nonce& n) { valid("nonce", n.size() == kNonceBytes); }
void mac(const Mac& m) { valid("mac", m.empty() || m.size() == 32); }
void facts(const Facts& all) {
  valid("facts", all.size() <= kMostFacts);
  for (const Fact& fact : all) {
    name("fact", fact.name);
    name("fact", fact.value);
  }
}

void validate(const Challenge& m) { nonce(m.nonce); }
void validate(const Hello& m) {
  facts(m.facts);
  name("backend", m.backend);
  name("host", m.host);
  valid("capacity", m.capacity >= 1 && m.capacity <= 1u << 16);
  valid("rank", m.world_rank >= -1);
  name("device", m.device);
  nonce(m.nonce);
  mac(m.mac);
}
void validate(const Welcome& m) {
  valid("link kind", m.link <= LinkKind::device);
  nonce(m.ticket);
  valid("transport",
        m.transport.size() <= kMaxTransport && m.transport.empty() == (m.link != LinkKind::device));
  valid("heartbeat", std::isfinite(m.heartbeat_s) && m.heartbeat_s >= 0.01 && m.heartbeat_s <= 3600);
  valid("limit", std::isfinite(m.lost_after_s) && m.lost_after_s >= 0.02 && m.lost_after_s <= 3600);
  mac(m.mac);
}
void validate(const Refused& m) { reason(m.reason); }
void validate(const LinkHello& m) { nonce(m.ticket); }
void validate(const LinkReady&) {}
void validate(const EncodeJob& m) {
  valid("width", m.width >= 1 && m.width <= kMaxSliceSide);
  valid("height", m.height >= 1 && m.height <= kMaxSliceSide);
  valid("pixels", m.pixels.size() == size_t{3} * m.width * m.height);
}
void validate(const Encoded& m) {
  valid("rows", m.rows >= 1 && m.rows <= kMaxRows);
  valid("width", m.width >= 1 && m.width <= kMaxRows);
  valid("type", m.dtype == DType::f32 || m.dtype == DType::bf16);
  valid("seconds", std::isfinite(m.seconds) && m.seconds >= 0);
}
void validate(const EncodeFailed& m) { reason(m.reason); }
void validate(const Go&) {}
void validate(const Done&) {}
void validate(const Cancel&) {}
void validate(const Heartbeat&) {}

// Calls use(M()) with the message type of this number; false if there is none.
template <class F, size_t I = 0>
bool with_type(FrameType type, const F& use) {
  if constexpr (I == std::variant_size_v<ControlMessage>) {
    return false;
  } else {
    using M = std::variant_alternative_t<I, ControlMessage>;
    if (type_of<M>() != type) return with_type<F, I + 1>(type, use);
    use(M());
    return true;
  }
}

}  // namespace

const char* name_of(LinkKind kind) {
  switch (kind) {
    case LinkKind::tcp:
      return "tcp";
    case LinkKind::mpi:
      return "mpi";
    case LinkKind::device:
      return "device";
  }
  return "?";
}

std::vector<std::byte> encode_message(const ControlMessage& message) {
  return std::visit(
      [](const auto& m) {
        validate(m);
        std::vector<std::byte> payload;
        Writer write(payload);
        write(m);
        constexpr FrameType type = type_of<std::decay_t<decltype(m)>>();
        check(payload.size() <= max_payload(type), "a message of ", payload.size(),
              " bytes is over the limit");
        return write_frame(type, payload);
      },
      message);
}

ControlMessage decode_message(FrameType type, std::span<const std::byte> payload) {
  ControlMessage message;
  const bool known = with_type(type, [&](auto m) {
    Reader read(payload);
    read(m);
    require(read.left() == 0, "a message is longer than its fields");
    validate(m);
    message = std::move(m);
  });
  require(known, "there is no message of type ", static_cast<int>(type));
  return message;
}

size_t max_payload(FrameType type) {
  size_t bytes = 0;
  with_type(type, [&](const auto& m) {
    bytes = std::is_same_v<std::decay_t<decltype(m)>, EncodeJob> ? kMaxJob : kMaxSmall;
  });
  return bytes;
}

}  // namespace uhd
