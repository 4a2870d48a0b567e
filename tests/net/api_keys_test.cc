#include "net/api_keys.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace uhd {
namespace {

std::filesystem::path file_with(const std::string& name, const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream(path) << text;
  return path;
}

TEST(ApiKeys, KnowsTheKeysOfItsFileOnly) {
  const ApiKeys keys(file_with("keys1", "# ours\nalpha\n\n  beta \r\ngamma"));
  EXPECT_TRUE(keys.asked());
  for (const char* good : {"Bearer alpha", "bearer beta", "BEARER  gamma"})
    EXPECT_TRUE(keys.tenant(good)) << good;
  for (const char* bad :
       {"", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Basic alpha", "Bearer # ours"}) {
    EXPECT_FALSE(keys.tenant(bad)) << bad;
  }
}

TEST(ApiKeys, TenantIsAPrefixOfTheHash) {
  const ApiKeys keys(file_with("keys2", "alpha\nbeta\n"));
  EXPECT_EQ(keys.tenant("Bearer alpha"), "8ed3f6ad685b959e") << "first bytes of sha256(\"alpha\")";
  EXPECT_NE(keys.tenant("Bearer alpha"), keys.tenant("Bearer beta"));
}

TEST(ApiKeys, AFileWithoutKeysIsAnError) {
  EXPECT_THROW(ApiKeys(file_with("keys3", "# nothing\n\n")), Error);
  EXPECT_THROW(ApiKeys(std::filesystem::path("/does/not/exist")), Error);
}

}  // namespace
}  // namespace uhd
