#include "net/target.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

std::string path_of(std::string_view target) {
  const auto parsed = parse_target(target);
  return parsed ? parsed->path : "none";
}

TEST(Target, TakesPathsAndUrls) {
  EXPECT_EQ(path_of("/health"), "/health");
  EXPECT_EQ(path_of("/health?x=/y"), "/health");
  EXPECT_EQ(path_of("/v1/models/a%20b"), "/v1/models/a b");
  EXPECT_EQ(path_of("*"), "*");
  EXPECT_EQ(path_of("http://host:80/health?x"), "/health");
  EXPECT_EQ(path_of("HTTP://host"), "/");
  EXPECT_EQ(path_of("https://host?x"), "/");
  EXPECT_EQ(parse_target("http://host:80/health")->authority, "host:80");
}

TEST(Target, RefusesOthers) {
  for (const char* target : {"", "health", "host:80", "ftp://host/", "http://", "http:///x", "/a%", "/a%zz"})
    EXPECT_EQ(path_of(target), "none") << target;
}

TEST(Target, ASlashTooManyIsNoOtherPath) {
  for (const char* path :
       {"/v1/models", "//v1/models", "/v1//models", "/v1/models/", "/v1/v1/models", "//v1///v1//v1/models//"})
    EXPECT_EQ(plain_path(path), "/v1/models") << path;
  EXPECT_EQ(plain_path("/"), "/");
  EXPECT_EQ(plain_path("//"), "/");
  EXPECT_EQ(plain_path("/v1/v1"), "/v1/v1");
}

}  // namespace
}  // namespace uhd
