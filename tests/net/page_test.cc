#include "net/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/page_files.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using testing::HasSubstr;

HttpResponse get_page(const Router& router, const std::string& path) {
  return std::get<HttpResponse>(router.handle({.method = "GET", .path = path}));
}

void write_sample(const TemporaryDirectory& folder, const std::string& demo) {
  folder.write("demo.json", demo);
  folder.write("page.png", "a picture");
}

Router page_router(const std::filesystem::path& samples) {
  Router router;
  add_page(router, samples);
  return router;
}

TEST(Page, EveryFileIsServedWithItsTypeAndLoadsNothingFromElsewhere) {
  const Router router = page_router("/does/not/exist");
  EXPECT_THAT(get_page(router, "/").body, HasSubstr("<!doctype html>"));
  EXPECT_EQ(get_page(router, "/").content_type, "text/html; charset=utf-8");
  EXPECT_EQ(get_page(router, "/page/page.js").content_type, "text/javascript; charset=utf-8");
  ASSERT_FALSE(page_files().empty());
  for (const EmbeddedFile& file : page_files()) {
    const HttpResponse response = get_page(router, "/page/" + std::string(file.name));
    EXPECT_EQ(response.status, 200) << file.name;
    EXPECT_EQ(response.body, file.content) << file.name;
    EXPECT_NE(response.content_type, "application/octet-stream") << file.name;
    EXPECT_THAT(response.headers,
                testing::Contains(testing::Pair("Content-Security-Policy", HasSubstr("'none'"))));
    if (!file.name.ends_with(".svg")) {
      EXPECT_EQ(file.content.find("://"), std::string_view::npos) << file.name;
    }
  }
}

TEST(Page, OffersTheSampleBesideTheCheckpoint) {
  const TemporaryDirectory folder;
  write_sample(folder, R"({"image":"page.png","question":"What?","about":"It reads."})");
  const Router router = page_router(folder.path());
  EXPECT_EQ(get_page(router, "/page/samples.json").body,
            R"({"about":"It reads.","samples":[{"image":"page.png","question":"What?"}]})");
  EXPECT_EQ(get_page(router, "/page/samples/page.png").body, "a picture");
  EXPECT_EQ(get_page(router, "/page/samples/page.png").content_type, "image/png");
  for (const char* path : {"/page/samples/demo.json", "/page/samples/../demo.json", "/page/samples/",
                           "/page/samples//etc/passwd", "/page/../index.html", "/page/", "/page"})
    EXPECT_EQ(get_page(router, path).status, 404) << path;
}

TEST(Page, OffersNoSampleThatIsNotInItsFolder) {
  for (const char* demo :
       {"", "[]", "{", R"({"image":7})", R"({"image":"../page.png"})", R"({"image":"/etc/hostname"})",
        R"({"image":"missing.png","question":"What?"})", R"({"image":""})"}) {
    const TemporaryDirectory folder;
    folder.write("page.png", "a picture above the folder");
    std::filesystem::create_directory(folder.path() / "samples");
    folder.write("samples/demo.json", demo);
    const Router router = page_router(folder.path() / "samples");
    EXPECT_EQ(get_page(router, "/page/samples.json").body, R"({"about":"","samples":[]})") << demo;
  }
}

TEST(Page, IsWhatNeedsNoKey) {
  for (const char* path : {"/", "/page/page.js", "/page/samples/page.png"})
    EXPECT_TRUE(is_page(path)) << path;
  for (const char* path : {"", "/metrics", "/v1/models", "/pages", "/page"})
    EXPECT_FALSE(is_page(path)) << path;
}

}  // namespace
}  // namespace uhd
