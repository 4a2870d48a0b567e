#include "net/access.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

using Headers = std::map<std::string, std::string>;

int status(const NetOptions& options, const std::string& method, const Headers& headers,
           const std::string& path = "/v1/completions") {
  const auto answer = Access(options).answer({.method = method, .path = path, .headers = headers});
  return answer ? answer->status : 0;
}

TEST(Access, AnswersToItsOwnNamesOnly) {
  for (const char* host : {"", "localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "10.0.0.5:80",
                           "LOCALHOST.", "gpu-box", "a.localhost", "printer.local", "uhd.svc.internal:80"})
    EXPECT_EQ(status({}, "GET", {{"host", host}}), 0) << host;
  for (const char* host :
       {"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"}) {
    EXPECT_EQ(status({}, "GET", {{"host", host}}), 403) << host;
    EXPECT_EQ(status({}, "GET", {{"host", host}}, "/health"), 0) << "a probe may ask by any name";
  }
}

TEST(Access, HostsCanBeNamed) {
  const NetOptions named{.allowed_hosts = "api.example.com, other.example"};
  EXPECT_EQ(status(named, "GET", {{"host", "API.example.com:443"}}), 0);
  EXPECT_EQ(status(named, "GET", {{"host", "evil.example"}}), 403);
  EXPECT_EQ(status({.allowed_hosts = "*"}, "GET", {{"host", "evil.example"}}), 0);
}

TEST(Access, AServerForOthersOrWithKeysTakesAnyName) {
  EXPECT_EQ(status({.host = "0.0.0.0"}, "GET", {{"host", "api.example.com"}}), 0);
  EXPECT_EQ(status({.host = "0.0.0.0", .allowed_hosts = "a.example"}, "GET", {{"host", "api.example.com"}}),
            403);
  EXPECT_EQ(status({.api_keys_file = "keys"}, "GET", {{"host", "api.example.com"}}), 0);
  EXPECT_EQ(status({.host = "api.example.com"}, "GET", {{"host", "api.example.com"}}), 0);
}

TEST(Access, PagesOfOtherOriginsMayNotPost) {
  const Headers strange{{"host", "127.0.0.1:8080"}, {"origin", "https://evil.example"}};
  EXPECT_EQ(status({}, "POST", strange), 403);
  EXPECT_EQ(status({}, "POST", {{"host", "x"}, {"origin", "null"}}), 403);
  EXPECT_EQ(status({}, "GET", strange), 0);
  EXPECT_EQ(status({}, "POST", {{"host", "127.0.0.1:8080"}, {"origin", "http://127.0.0.1:8080"}}), 0);
  EXPECT_EQ(status({}, "POST", {{"host", "127.0.0.1:8080"}}), 0);
  EXPECT_EQ(status({.cors_origin = "https://evil.example"}, "POST", strange), 0);
  EXPECT_EQ(status({.cors_origin = "http://a, https://EVIL.example/"}, "POST", strange), 0);
  EXPECT_EQ(status({.cors_origin = "*"}, "POST", strange), 0);
  EXPECT_EQ(status({.cors_origin = "http://a"}, "POST", strange), 403);
  EXPECT_EQ(status({.api_keys_file = "keys"}, "POST", strange), 0) << "a page does not have the key";
}

std::string value_of(const std::vector<std::pair<std::string, std::string>>& fields,
                     const std::string& name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return "none";
}

TEST(Access, PreflightsAllowWhatIsAsked) {
  const Access access({.cors_origin = "http://a"});
  const std::string asked = "authorization,content-type,x-stainless-os";
  const auto answer = access.answer({.method = "OPTIONS",
                                     .path = "/v1/completions",
                                     .headers = {{"origin", "http://a"},
                                                 {"access-control-request-method", "POST"},
                                                 {"access-control-request-headers", asked},
                                                 {"access-control-request-private-network", "true"}}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  EXPECT_EQ(value_of(answer->headers, "Access-Control-Allow-Headers"), asked);
  EXPECT_EQ(value_of(answer->headers, "Access-Control-Allow-Private-Network"), "true");
  EXPECT_EQ(status({.cors_origin = "http://a"}, "OPTIONS", {{"origin", "http://b"}}), 403);
  EXPECT_EQ(status({}, "OPTIONS", {{"origin", "http://a"}}), 0) << "not opened to pages";
}

TEST(Access, EveryAnswerSaysWhoMayReadIt) {
  const NetOptions two{.cors_origin = "http://a,http://b"};
  const auto fields = [&](const NetOptions& options, const std::string& origin) {
    return Access(options).headers({.method = "GET", .path = "/", .headers = {{"origin", origin}}});
  };
  EXPECT_EQ(value_of(fields(two, "http://b"), "Access-Control-Allow-Origin"), "http://b");
  EXPECT_EQ(value_of(fields(two, "http://b"), "Vary"), "Origin");
  EXPECT_EQ(value_of(fields(two, "http://c"), "Access-Control-Allow-Origin"), "none");
  EXPECT_EQ(value_of(fields({.cors_origin = "*"}, "http://c"), "Access-Control-Allow-Origin"), "*");
  EXPECT_TRUE(fields({}, "http://a").empty());
}

}  // namespace
}  // namespace uhd
