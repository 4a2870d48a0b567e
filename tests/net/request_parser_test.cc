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
