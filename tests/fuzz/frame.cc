// Reads the bytes that ranks send each other: frames, the messages of the control channel, and step plans.
// The first byte says which; 0 is a whole frame.
#include <algorithm>

#include "cluster/encoders/handshake.h"
#include "cluster/encoders/messages.h"
#include "cluster/plan_channel.h"
#include "engine/step.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

bool reads_frame(std::span<const std::byte> bytes) {
  if (bytes.size() < kFrameHeaderBytes) return false;
  const FrameHeader header = read_frame_header(bytes.first<kFrameHeaderBytes>());
  touch(read_frame(header.type, bytes, max_payload(header.type)));
  return true;
}

bool reads_plan(std::span<const std::byte> bytes) {
  StepPlan plan;
  Reader{bytes}(plan);
  return true;
}

}  // namespace

bool fuzz_frame(std::string_view bytes) {
  const std::vector<std::byte> all = copied(bytes);
  if (all.empty()) return false;
  const auto kind = std::to_integer<uint16_t>(all[0]);
  const auto payload = std::span(all).subspan(1);
  const auto type = static_cast<FrameType>(kind);
  if (kind == 0) return reads_frame(payload);
  if (type == FrameType::step_plan) return reads_plan(payload);
  if (payload.size() > max_payload(type)) return false;
  protocol_mismatch(payload);
  const ControlMessage message = decode_message(type, payload);
  if (const auto* hello = std::get_if<Hello>(&message)) {
    const auto reason = reason_to_refuse(*hello, Nonce(32, 1), "secret", {{"model", "one"}});
    must_hold(reason.has_value(), "a stranger was let in");
  }
  const std::vector<std::byte> again = encode_message(message);
  must_hold(std::ranges::equal(std::span(again).subspan(kFrameHeaderBytes), payload),
            "a message was not read as it stands");
  return true;
}

}  // namespace uhd
