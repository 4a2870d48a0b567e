#include "cluster/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"

namespace uhd {
namespace {

using namespace std::string_view_literals;
using testing::HasSubstr;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::vector<std::byte> sample() { return write_frame(FrameType::go, bytes_of("payload of a frame"sv)); }

std::string reading(std::span<const std::byte> frame, size_t limit = 100) {
  return error_of([&] { read_frame(FrameType::go, frame, limit); });
}

// The frame with one byte changed.
std::vector<std::byte> damaged(size_t at) {
  auto frame = sample();
  frame[at] ^= std::byte{1};
  return frame;
}

TEST(Frame, Crc32cHasItsPublishedValues) {
  EXPECT_EQ(crc32c(bytes_of("123456789"sv)), 0xe3069283u);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32)), 0x8a9136aau);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Frame, Crc32cContinuesAtAnyCut) {
  const std::string_view text = "every cut of this text gives the same sum";
  const uint32_t whole = crc32c(bytes_of(text));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(crc32c(bytes_of(text.substr(cut)), crc32c(bytes_of(text.substr(0, cut)))), whole) << cut;
  }
}

TEST(Frame, ReadsBackWhatItWrote) {
  const auto frame = sample();
  EXPECT_EQ(frame.size(), kFrameHeaderBytes + 18);
  const auto payload = read_frame(FrameType::go, frame, 18);
  EXPECT_TRUE(std::ranges::equal(payload, bytes_of("payload of a frame"sv)));
  const auto empty = write_frame(FrameType::done, {});
  EXPECT_EQ(read_frame(FrameType::done, empty, 0).size(), 0u);
}

TEST(Frame, TwoPartsMakeTheSameFrameAsOne) {
  EXPECT_EQ(write_frame(FrameType::go, bytes_of("payload "sv), bytes_of("of a frame"sv)), sample());
}

TEST(Frame, EachCorruptFieldIsAnErrorOfItsOwn) {
  EXPECT_THAT(reading(damaged(0)), HasSubstr("does not speak"));  // magic
  EXPECT_THAT(reading(damaged(4)), HasSubstr("version"));
  EXPECT_THAT(reading(damaged(6)), HasSubstr("type"));
  EXPECT_THAT(reading(damaged(8)), HasSubstr("says 19 bytes but holds 18"));  // length
  EXPECT_THAT(reading(damaged(12)), HasSubstr("checksum"));
  EXPECT_THAT(reading(damaged(16)), HasSubstr("checksum"));  // payload
}

TEST(Frame, EverySingleDamagedByteIsFound) {
  for (size_t at = 0; at < sample().size(); ++at) EXPECT_NE(reading(damaged(at)), "no error") << at;
}

TEST(Frame, EveryTruncationIsFound) {
  const auto frame = sample();
  for (size_t length = 0; length < frame.size(); ++length) {
    EXPECT_NE(reading(std::span(frame).first(length)), "no error") << length;
  }
}

TEST(Frame, MoreBytesThanItSaysAreFound) {
  auto frame = sample();
  frame.push_back(std::byte{0});
  EXPECT_THAT(reading(frame), HasSubstr("says 18 bytes but holds 19"));
}

TEST(Frame, OversizeIsRefusedByItsHeaderAlone) {
  EXPECT_THAT(reading(sample(), 17), HasSubstr("over the limit of 17"));
  auto lie = sample();
  for (size_t i = 8; i < 12; ++i) lie[i] = std::byte{0xff};
  EXPECT_EQ(read_frame_header(std::span(lie).first<kFrameHeaderBytes>()).length, 0xffffffffu);
  EXPECT_THAT(reading(lie), HasSubstr("over the limit"));
}

TEST(Frame, AnotherTypeThanExpectedIsAnError) {
  EXPECT_THAT(error_of([] { read_frame(FrameType::done, sample(), 100); }), HasSubstr("type 19 came"));
}

}  // namespace
}  // namespace uhd
