#include "cluster/encoders/messages.h"

#include <filesystem>
#include <limits>
#include <set>

#include "base/error.h"
#include "cluster/encoders/handshake.h"
#include "cluster/encoders/secret.h"
#include "tests/cluster/control_fixture.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

std::vector<ControlMessage> one_of_each() {
  const Nonce nonce(32, 7);
  Hello hello = hello_for("model");
  hello.nonce = nonce;
  hello.mac = nonce;
  return {Challenge{1, nonce},
          hello,
          Welcome{3, LinkKind::device, nonce, std::vector<uint8_t>(128, 5), 1, 5, nonce},
          Refused{"why"},
          LinkHello{3, nonce},
          LinkReady{},
          job_of(9),
          Encoded{9, 64, 5120, DType::bf16, 0.5f},
          EncodeFailed{9, "why"},
          Go{9},
          Done{9},
          Cancel{9},
          Heartbeat{4}};
}

FrameType type_in(std::span<const std::byte> frame) {
  return read_frame_header(frame.first<kFrameHeaderBytes>()).type;
}

TEST(Messages, EachReadsBackToTheSameBytes) {
  std::set<size_t> kinds;
  for (const auto& sent : one_of_each()) {
    const auto frame = encode_message(sent);
    const auto payload = std::span(frame).subspan(kFrameHeaderBytes);
    EXPECT_LE(payload.size(), max_payload(type_in(frame)));
    const auto got = decode_message(type_in(frame), payload);
    EXPECT_EQ(got.index(), sent.index());
    EXPECT_EQ(encode_message(got), frame);
    kinds.insert(got.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<ControlMessage>);
}

TEST(Messages, EveryTruncationAndEveryExtraByteIsAnError) {
  for (const auto& sent : one_of_each()) {
    auto frame = encode_message(sent);
    const FrameType type = type_in(frame);
    const auto payload = std::span(frame).subspan(kFrameHeaderBytes);
    for (size_t length = 0; length < payload.size(); ++length) {
      EXPECT_THROW(decode_message(type, payload.first(length)), Error) << sent.index() << " " << length;
    }
    frame.push_back(std::byte{0});
    EXPECT_THROW(decode_message(type, std::span(frame).subspan(kFrameHeaderBytes)), Error) << sent.index();
  }
}

TEST(Messages, UnknownTypesHaveNoLengthAndNoMeaning) {
  for (int type : {0, 7, 15, 23, 32, 33, 65535}) {
    EXPECT_EQ(max_payload(static_cast<FrameType>(type)), 0u);
    EXPECT_THROW(decode_message(static_cast<FrameType>(type), {}), Error);
  }
}

TEST(Messages, ValuesOutOfRangeAreRefused) {
  const auto changed = [](auto message, auto change) {
    change(message);
    return ControlMessage(std::move(message));
  };
  const Nonce nonce(32, 7);
  const Welcome welcome{3, LinkKind::device, nonce, std::vector<uint8_t>(128, 5), 1, 5, nonce};
  Hello hello = hello_for("model");
  hello.nonce = nonce;
  const Encoded encoded{9, 64, 5120, DType::bf16, 0.5f};
  const std::vector<ControlMessage> bad{
      Challenge{1, Nonce(31, 7)},
      changed(hello, [](Hello& m) { m.mac = Mac(31, 0); }),
      changed(hello, [](Hello& m) { m.capacity = 0; }),
      changed(hello, [](Hello& m) { m.world_rank = -2; }),
      changed(hello, [](Hello& m) { m.host.assign(257, 'x'); }),
      changed(welcome, [](Welcome& m) { m.heartbeat_s = 0; }),
      changed(welcome, [](Welcome& m) { m.lost_after_s = std::numeric_limits<double>::infinity(); }),
      changed(welcome, [](Welcome& m) { m.link = static_cast<LinkKind>(3); }),
      changed(welcome, [](Welcome& m) { m.link = LinkKind::tcp; }),
      changed(welcome, [](Welcome& m) { m.transport.clear(); }),
      changed(welcome, [](Welcome& m) { m.transport.resize(5000); }),
      changed(job_of(1), [](EncodeJob& m) { m.pixels.pop_back(); }),
      changed(job_of(1), [](EncodeJob& m) { m.width = 0; }),
      changed(job_of(1), [](EncodeJob& m) { m.height = kMaxSliceSide + 1; }),
      changed(encoded, [](Encoded& m) { m.rows = 0; }),
      changed(encoded, [](Encoded& m) { m.width = 0xffffffff; }),
      changed(encoded, [](Encoded& m) { m.dtype = DType::u8; }),
      changed(encoded, [](Encoded& m) { m.dtype = static_cast<DType>(77); }),
      changed(encoded, [](Encoded& m) { m.seconds = std::numeric_limits<float>::quiet_NaN(); }),
      EncodeFailed{1, std::string(5000, 'x')},
  };
  for (size_t i = 0; i < bad.size(); ++i) EXPECT_THROW(encode_message(bad[i]), Error) << i;
}

TEST(Handshake, EveryFieldIsBoundToTheSecretAndTheChallenge) {
  const std::string secret = "a shared secret!";
  const Nonce challenge(32, 1);
  Hello hello = hello_for("m");
  hello.nonce = Nonce(32, 2);
  hello.mac = hello_mac(secret, challenge, hello);
  const Facts ours = hello_for("m").facts;
  EXPECT_EQ(reason_to_refuse(hello, challenge, secret, ours), std::nullopt);
  EXPECT_NE(reason_to_refuse(hello, Nonce(32, 3), secret, ours), std::nullopt);
  EXPECT_NE(reason_to_refuse(hello, challenge, "another secret!!", ours), std::nullopt);
  Hello changed = hello;
  changed.host = "elsewhere";
  EXPECT_NE(reason_to_refuse(changed, challenge, secret, ours), std::nullopt);

  Welcome welcome{1, LinkKind::tcp, Nonce(32, 4), {}, 1, 5, {}};
  welcome.mac = welcome_mac(secret, hello.nonce, welcome);
  EXPECT_TRUE(proves_secret(welcome, hello.nonce, secret));
  EXPECT_FALSE(proves_secret(welcome, challenge, secret));
  welcome.ticket[0] ^= 1;
  EXPECT_FALSE(proves_secret(welcome, hello.nonce, secret));
  welcome.mac.clear();
  EXPECT_FALSE(proves_secret(welcome, hello.nonce, secret));
}

TEST(Secret, HmacHasItsPublishedValue) {
  const auto mac = hmac_sha256("Jefe", bytes_of(std::string_view("what do ya want for nothing?")));
  EXPECT_EQ(mac[0], 0x5b);
  EXPECT_EQ(mac[1], 0xdc);
  EXPECT_EQ(mac[31], 0x43);
}

TEST(Secret, ComparesContentAndLength) {
  const std::vector<uint8_t> a{1, 2, 3};
  EXPECT_TRUE(equal_secrets(a, std::vector<uint8_t>{1, 2, 3}));
  EXPECT_FALSE(equal_secrets(a, std::vector<uint8_t>{1, 2, 4}));
  EXPECT_FALSE(equal_secrets(a, std::vector<uint8_t>{1, 2}));
}

TEST(Secret, IsReadFromAFileAndMustBeLong) {
  const TemporaryDirectory folder;
  const auto path = folder.write("secret", "0123456789abcdef\n");
  EXPECT_EQ(read_secret(path), "0123456789abcdef");
  folder.write("secret", "short\n");
  EXPECT_THROW(read_secret(path), Error);
  std::filesystem::remove(path);
  EXPECT_THROW(read_secret(path), Error);
  EXPECT_EQ(random_secret().size(), 64u);
  EXPECT_NE(random_secret(), random_secret());
}

TEST(Secret, LoopbackIsKnown) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "10.0.0.1", "::", "host"}) EXPECT_FALSE(is_loopback(host)) << host;
}

}  // namespace
}  // namespace uhd
