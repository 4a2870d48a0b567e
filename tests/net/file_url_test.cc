#include "net/file_url.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "net/openai.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

const std::string kPngBytes("\x89PNG\r\n\x1A\nrest");

// A directory with an image, and a neighbour that is none of the clients' business.
class FileUrl : public ::testing::Test {
 protected:
  FileUrl() {
    fs::create_directories(root() / "in" / "sub");
    write("in/a b.png", kPngBytes);
    write("in/text.png", "secret");
    write("out.png", kPngBytes);
    fs::create_symlink("../out.png", root() / "in" / "away.png");
    fs::create_symlink(root() / "out.png", root() / "in" / "absolute.png");
    fs::create_symlink("../a b.png", root() / "in" / "sub" / "inside.png");
    mkfifo((root() / "in" / "pipe.png").c_str(), 0600);
  }
  fs::path root() const { return directory_.path(); }
  void write(const std::string& name, const std::string& bytes) { std::ofstream(root() / name) << bytes; }
  std::string base() const { return (root() / "in").string(); }
  std::variant<std::string, ApiError> read(const std::string& path, int64_t most = 100) const {
    return read_image_file("file://" + path, base(), most);
  }
  TemporaryDirectory directory_;
};

TEST_F(FileUrl, AnImageBelowTheDirectoryIsRead) {
  for (const char* path : {"/a%20b.png", "/sub/inside.png", "/sub/../a%20b.png"}) {
    const auto bytes = read(base() + path);
    ASSERT_TRUE(std::holds_alternative<std::string>(bytes)) << path << std::get<ApiError>(bytes).message;
    EXPECT_EQ(std::get<std::string>(bytes), kPngBytes);
  }
  EXPECT_TRUE(std::holds_alternative<std::string>(read("localhost" + base() + "/a%20b.png")));
  EXPECT_TRUE(is_file_url("FILE:///x") && !is_file_url("files:") && !is_file_url("data:,"));
}

TEST_F(FileUrl, EverythingElseGetsOneAnswer) {
  const std::string first = std::get<ApiError>(read(base() + "/missing.png")).message;
  const std::string up = base() + "/../out.png", coded = base() + "/%2e%2e/out.png";
  for (const std::string& path :
       {up, coded, base() + "/away.png", base() + "/absolute.png", base() + "/text.png", base() + "/pipe.png",
        base() + "/sub", base() + "/", base(), (root() / "out.png").string(), base() + "2/a.png",
        std::string("/etc/passwd"), std::string("elsewhere") + base() + "/a%20b.png",
        base() + "/a%20b.png%00", base() + "/a%20b.png?x", std::string("%zz")}) {
    const auto refused = read(path);
    ASSERT_TRUE(std::holds_alternative<ApiError>(refused)) << path;
    EXPECT_EQ(std::get<ApiError>(refused).status, 400) << path;
    EXPECT_EQ(std::get<ApiError>(refused).message, first) << path;
  }
}

TEST_F(FileUrl, SizesAreBounded) {
  EXPECT_EQ(std::get<ApiError>(read(base() + "/a%20b.png", 5)).status, 413);
  EXPECT_EQ(std::get<ApiError>(read(base() + "/a%20b.png", 5)).code, "image_too_large");
}

TEST_F(FileUrl, RoomIsTakenBeforeTheFileIsRead) {
  int64_t asked = 0;
  const auto full = [&](int64_t bytes) {
    asked = bytes;
    return false;
  };
  const auto refused = read_image_file("file://" + base() + "/a%20b.png", base(), 100, full);
  EXPECT_EQ(std::get<ApiError>(refused).status, 503);
  EXPECT_EQ(asked, static_cast<int64_t>(kPngBytes.size()));
}

TEST_F(FileUrl, ACallReadsAFileOnce) {
  NetOptions options;
  options.image_directory = base();
  options.max_image_bytes = 100;
  const ModelInfo model{"fake", "llava-uhd-v1", true, 2048, 1000};
  const std::string image = R"({"type":"image_url","image_url":"file://)" + base() + R"(/a%20b.png"})";
  const std::string body = message(R"({"messages":[{"role":"user","content":[)", image, ',', image, "]}]}");
  int taken = 0;
  const auto count = [&](int64_t) { return ++taken > 0; };
  const auto call = parse_call(Endpoint::chat, body, model, options, {count});
  ASSERT_TRUE(std::holds_alternative<Call>(call)) << std::get<ApiError>(call).message;
  EXPECT_EQ(taken, 1);
  const auto full = [](int64_t) { return false; };
  EXPECT_EQ(std::get<ApiError>(parse_tokenize(body, model, options, {full})).status, 503);
}

}  // namespace
}  // namespace uhd
