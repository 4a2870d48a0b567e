#include "net/unix_socket.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

class UnixSocketTest : public ::testing::Test {
 protected:
  const sockaddr* name() const { return reinterpret_cast<const sockaddr*>(&address_); }
  // Makes another program's socket at the path.
  int bound(int type) {
    address_.sun_family = AF_UNIX;
    path_.copy(address_.sun_path, sizeof(address_.sun_path) - 1);
    const int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(made, name(), sizeof(address_)), 0);
    return made;
  }

  sockaddr_un address_{};
  const TemporaryDirectory folder_;
  const std::string path_ = folder_.path() / "s";
};

TEST_F(UnixSocketTest, ItsFileHasTheModeAndGoesWithIt) {
  {
    const UnixSocketFile socket(path_, "0640");
    struct stat found {};
    ASSERT_EQ(lstat(path_.c_str(), &found), 0);
    EXPECT_TRUE(S_ISSOCK(found.st_mode));
    EXPECT_EQ(found.st_mode & 0777, 0640u);
    EXPECT_THROW(UnixSocketFile(path_, "0640"), Error) << "somebody listens";
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, RemovesNoFileOfOthers) {
  std::ofstream(path_) << "mine";
  EXPECT_THROW(UnixSocketFile(path_, "0600"), Error);
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
  std::filesystem::remove(path_);
  {
    const UnixSocketFile socket(path_, "0600");
    std::filesystem::remove(path_);
    std::ofstream(path_) << "mine";
  }
  EXPECT_TRUE(std::filesystem::is_regular_file(path_)) << "it was replaced meanwhile";
}

TEST_F(UnixSocketTest, LeavesTheSocketOfAProgramThatIsTooBusyToAccept) {
  const int busy = bound(SOCK_STREAM);
  ASSERT_EQ(listen(busy, 0), 0);
  const int waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(waiting, name(), sizeof(address_)), 0) << "the only place of its queue";
  EXPECT_THROW(UnixSocketFile(path_, "0600"), Error);
  EXPECT_TRUE(std::filesystem::exists(path_));
  close(waiting);
  close(busy);
  EXPECT_NO_THROW(UnixSocketFile(path_, "0600")) << "nobody listens any more";
}

TEST_F(UnixSocketTest, LeavesASocketOfWhichItIsUnknownWhoListens) {
  const int other = bound(SOCK_DGRAM);  // a stream cannot reach it
  EXPECT_THROW(UnixSocketFile(path_, "0600"), Error);
  EXPECT_TRUE(std::filesystem::exists(path_));
  close(other);
}

TEST_F(UnixSocketTest, RefusesModesAndPathsThatAreNone) {
  for (const char* mode : {"", "rw", "0888", "01777", "-1", "0600 "}) {
    EXPECT_THROW(UnixSocketFile(path_, mode), Error) << mode;
  }
  EXPECT_THROW(UnixSocketFile("", "0600"), Error);
  EXPECT_THROW(UnixSocketFile(folder_.path() / std::string(200, 'x'), "0600"), Error);
  EXPECT_THROW(UnixSocketFile(folder_.path() / "none" / "s", "0600"), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace uhd
