#include "base/error.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Check, PassesSilentlyAndThrowsWithPartsAndPlace) {
  check(true, "never built");
  try {
    check(1 == 2, "one is ", 1, ", not ", 2);
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("one is 1, not 2"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("error_test.cc"), std::string::npos);
  }
}

TEST(Require, ThrowsTheMessageAlone) {
  try {
    require(false, "port ", 99999, " is too large");
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "port 99999 is too large");
  }
}

}  // namespace
}  // namespace uhd
