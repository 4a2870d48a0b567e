#include "net/router.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

HttpResponse ask(const Router& router, const std::string& method, const std::string& path) {
  return std::get<HttpResponse>(router.handle({.method = method, .path = path}));
}

Router small_router() {
  Router router;
  router.add("GET", "/a", [](const HttpRequest&) { return HttpResponse{.body = "a"}; });
  router.add("POST", "/a", [](const HttpRequest&) { return HttpResponse{.body = "posted"}; });
  router.add("GET", "/b/", [](const HttpRequest& r) { return HttpResponse{.body = r.path.substr(3)}; });
  return router;
}

TEST(Router, FindsByMethodAndPath) {
  const Router router = small_router();
  EXPECT_EQ(ask(router, "GET", "/a").body, "a");
  EXPECT_EQ(ask(router, "HEAD", "/a").body, "a");
  EXPECT_EQ(ask(router, "POST", "/a").body, "posted");
  EXPECT_EQ(ask(router, "GET", "/b/x/y").body, "x/y");
}

TEST(Router, UnknownPathsAndMethodsAreClear) {
  const Router router = small_router();
  for (const char* path : {"/", "", "/aa", "/b/", "/b", "/a/"})
    EXPECT_EQ(ask(router, "GET", path).status, 404) << path;
  const HttpResponse wrong = ask(router, "DELETE", "/a");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.back(), (std::pair<std::string, std::string>("Allow", "GET, HEAD, POST")));
}

TEST(Router, AnUnknownPathHearsOfTheNearest) {
  Router router;
  router.add("POST", "/v1/chat/completions", [](const HttpRequest&) { return HttpResponse{}; });
  router.add("GET", "/health", [](const HttpRequest&) { return HttpResponse{}; });
  const std::string body = ask(router, "POST", "/chat/completions").body;
  EXPECT_NE(body.find("'/chat/completions'; the nearest is POST /v1/chat/completions"), std::string::npos)
      << body;
  const std::string hostile = ask(router, "GET", "/\xFF\x1B[31m" + std::string(5000, 'x')).body;
  EXPECT_LT(hostile.size(), 600u);
  EXPECT_EQ(hostile.find('\xFF'), std::string::npos);
}

TEST(Router, OptionsSayWhatIsAllowed) {
  const Router router = small_router();
  EXPECT_EQ(ask(router, "OPTIONS", "/a").status, 204);
  EXPECT_EQ(ask(router, "OPTIONS", "/a").headers.back().second, "GET, HEAD, POST");
  EXPECT_EQ(ask(router, "OPTIONS", "*").status, 204);
}

TEST(Router, NamesRoutesForMetrics) {
  const Router router = small_router();
  EXPECT_EQ(router.route_of("/a"), "/a");
  EXPECT_EQ(router.route_of("/b/anything"), "/b/");
  EXPECT_EQ(router.route_of("/random"), "other");
}

}  // namespace
}  // namespace uhd
