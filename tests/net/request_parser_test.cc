#include "net/request_parser.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

// Feeds a chunked body in pieces until an error; returns how many bytes were unread at most.
size_t most_unread(RequestParser& parser, const std::string& piece) {
  const std::string header = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(parser.put_header(header), header.size());
  std::string unread;
  size_t most = 0;
  for (int i = 0; i < 100 && !parser.error(); ++i) {
    unread += piece;
    unread.erase(0, parser.put_body(unread));
    most = std::max(most, unread.size());
  }
  return most;
}

TEST(RequestParser, WhatStandsBetweenChunksIsLimited) {
  for (const std::string& piece : {"1;" + std::string(498, 'a'), "0\r\nx: " + std::string(490, 'a')}) {
    RequestParser parser(2000, 1 << 20);
    EXPECT_LE(most_unread(parser, piece), 3000u);
    ASSERT_TRUE(parser.error());
    EXPECT_EQ(parser.error()->status, 400);
    EXPECT_EQ(parser.error()->code, "bad_http");
  }
}

TEST(RequestParser, ALargeBodyOfChunksIsTaken) {
  RequestParser parser(2000, 1 << 20);
  EXPECT_LE(most_unread(parser, "1000\r\n" + std::string(0x1000, 'b') + "\r\n"), 2u);
  EXPECT_FALSE(parser.error()) << parser.error()->message;
  EXPECT_EQ(parser.body_bytes(), 100 * 0x1000);
}

// Beast's own parser asserts if an empty body comes in pieces that end within its only chunk.
TEST(RequestParser, ABodyOfChunksMayComeByteByByte) {
  for (const auto& [bytes, body] : {std::pair{"0\r\n\r\n", ""},
                                    {"0;a=b\r\nX: y\r\n\r\n", ""},
                                    {"1\r\na\r\n0\r\n\r\n", "a"},
                                    {"1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n", "abc"}}) {
    for (const size_t piece : {1, 2, 3, 4, 5, 100}) {
      RequestParser parser(2000, 1 << 20);
      parser.put_header("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
      std::string unread;
      for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
        EXPECT_FALSE(parser.done()) << bytes;
        unread += rest.substr(0, piece);
        unread.erase(0, parser.put_body(unread));
      }
      EXPECT_TRUE(parser.done()) << bytes;
      EXPECT_EQ(unread, "") << bytes;
      EXPECT_EQ(parser.take_body(), body);
    }
  }
}

// RFC 9112, 3.2: the older protocol knows requests without it.
TEST(RequestParser, AHostIsNamed) {
  for (const auto& [header, refused] : {std::pair{"GET / HTTP/1.1\r\n\r\n", true},
                                        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", false},
                                        {"GET / HTTP/1.0\r\n\r\n", false}}) {
    RequestParser parser(2000, 1 << 20);
    parser.put_header(header);
    ASSERT_EQ(parser.error().has_value(), refused) << header;
    EXPECT_EQ(refused ? parser.error()->status : 0, refused ? 400 : 0);
    EXPECT_EQ(parser.done(), !refused) << header;
  }
}

TEST(RequestParser, WhatIsJudgedStandsOnce) {
  for (const std::string& name : {std::string("Host"), std::string("Origin"), std::string("Authorization")}) {
    RequestParser parser(2000, 1 << 20);
    parser.put_header("GET / HTTP/1.1\r\n" + name + ": a\r\nAccept: b\r\n" + name + ": c\r\n\r\n");
    ASSERT_TRUE(parser.error()) << name;
    EXPECT_FALSE(parser.done()) << name;
    EXPECT_EQ(parser.error()->status, 400);
    EXPECT_NE(parser.error()->message.find(name), std::string::npos) << parser.error()->message;
  }
}

}  // namespace
}  // namespace uhd
