// Tests the library itself, if it is installed: it opens by its name, makes ids, and says in words why a
// device is missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "cluster/nccl/handle.h"

namespace uhd {
namespace {

TransportId new_id() {
  ncclUniqueId id;
  check_nccl(nccl().get_unique_id(&id), "making an id");
  const auto* bytes = reinterpret_cast<const uint8_t*>(&id);
  return {bytes, bytes + sizeof(id)};
}

TEST(NcclLibrary, IsOfTheHeadersMajorVersion) {
  EXPECT_THAT(nccl().version, testing::StartsWith(message(NCCL_MAJOR, ".")));
}

TEST(NcclLibrary, MakesIdsThatDiffer) {
  const TransportId one = new_id();
  EXPECT_TRUE(std::any_of(one.begin(), one.end(), [](uint8_t b) { return b != 0; }));
  EXPECT_NE(one, new_id());
}

// With a device, a group of one settles; without one, the error has one line.
TEST(NcclLibrary, MeetsOrSaysWhyNot) {
  std::string reason;
  bool settled = false;
  try {
    NcclHandle comm(new_id(), 0, 1, 4);
    while (!comm.settled()) std::this_thread::yield();
    settled = true;
  } catch (const Error& e) {
    reason = e.what();
  }
  EXPECT_TRUE(settled || reason.starts_with("NCCL: ")) << reason;
  EXPECT_THAT(reason, testing::Not(testing::HasSubstr("\n")));
}

}  // namespace
}  // namespace uhd
