#include "net/api_keys.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

ApiKeys keys_of(const std::string& text) {
  const TemporaryDirectory folder;
  return ApiKeys(folder.write("keys", text));
}

TEST(ApiKeys, KnowsTheKeysOfItsFileOnly) {
  const ApiKeys keys = keys_of("# ours\nalpha\n\n  beta \r\ngamma");
  EXPECT_TRUE(keys.asked());
  for (const char* good : {"Bearer alpha", "bearer beta", "BEARER  gamma"})
    EXPECT_TRUE(keys.tenant(good)) << good;
  for (const char* bad :
       {"", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Basic alpha", "Bearer # ours"}) {
    EXPECT_FALSE(keys.tenant(bad)) << bad;
  }
}

TEST(ApiKeys, RefusesAKeyThatNoClientCanSend) {
  for (const std::string& key : {std::string("\0\1", 2), std::string("a\x7f"), std::string(1025, 'k')}) {
    EXPECT_THROW(keys_of("alpha\n" + key + "\n"), Error) << key.size();
  }
  EXPECT_EQ(keys_of(std::string(1024, 'k')).quota("none"), 0);
}

TEST(ApiKeys, TenantIsAPrefixOfTheHash) {
  const ApiKeys keys = keys_of("alpha\nbeta\n");
  EXPECT_EQ(keys.tenant("Bearer alpha"), "8ed3f6ad685b959e") << "first bytes of sha256(\"alpha\")";
  EXPECT_NE(keys.tenant("Bearer alpha"), keys.tenant("Bearer beta"));
}

TEST(ApiKeys, AKeyMayHaveAQuota) {
  const ApiKeys keys = keys_of("alpha quota=30\nbeta\ngamma \t quota=0.5 \r\n");
  const auto quota = [&](const char* key) {
    return keys.quota(keys.tenant(std::string("Bearer ") + key).value());
  };
  EXPECT_EQ(quota("alpha"), 30);
  EXPECT_EQ(quota("beta"), 0);
  EXPECT_EQ(quota("gamma"), 0.5);
  EXPECT_FALSE(keys.tenant("Bearer alpha quota=30"));
  for (const char* bad : {"alpha quota=", "alpha quota=0", "alpha quota=-1", "alpha quota=inf",
                          "alpha quota=nan", "alpha quota=1x", "alpha beta", "alpha quota=1 quota=2"}) {
    EXPECT_THROW(keys_of(bad), Error) << bad;
  }
}

TEST(ApiKeys, AFileWithoutKeysIsAnError) {
  EXPECT_THROW(keys_of("# nothing\n\n"), Error);
  EXPECT_THROW(ApiKeys(std::filesystem::path("/does/not/exist")), Error);
}

}  // namespace
}  // namespace uhd
