#include "net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "tests/net/fake_engine.h"
#include "tests/net/raw_client.h"

namespace uhd {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Runs a server on a free port over a FakeEngine.
class HttpServerTest : public testing::Test {
 protected:
  void start(NetOptions options = {}) {
    options.port = 0;
    server_ = std::make_unique<HttpServer>(options);
    server_->start(engine_);
  }
  std::unique_ptr<RawClient> client() { return std::make_unique<RawClient>(server_->port()); }
  RawClient::Response ask(const std::string& request) {
    const auto c = client();
    c->send(request);
    return c->read_response();
  }
  static std::string chat(const std::string& text, const std::string& fields = "") {
    return post("/v1/chat/completions",
                R"({"messages":[{"role":"user","content":")" + text + "\"}]" + fields + "}");
  }
  // Waits until the server has noticed, by whatever a test can see of it.
  template <class Condition>
  void wait_until(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }

  FakeEngine engine_;
  std::unique_ptr<HttpServer> server_;  // goes before the engine
};

TEST_F(HttpServerTest, AnswersAChat) {
  start();
  const auto response = ask(chat("hi"));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.header, HasSubstr("Content-Type: application/json"));
  EXPECT_THAT(response.header, HasSubstr("Server: uhd"));
  EXPECT_THAT(response.body, HasSubstr(R"("content":"Hello wörld!")"));
  EXPECT_THAT(response.body, HasSubstr(R"("grid":[2,3])"));
}

TEST_F(HttpServerTest, StreamsAChat) {
  start();
  const auto response = ask(chat("hi", R"(,"stream":true)"));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.header, HasSubstr("text/event-stream"));
  EXPECT_THAT(response.body, HasSubstr(R"("content":" wörld")"));
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, StreamsWithoutChunksToHttp10) {
  start();
  const auto c = client();
  const std::string body = R"({"prompt":"hi","stream":true})";
  c->send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
          body);
  const std::string all = c->read_all();
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
  EXPECT_THAT(all, HasSubstr("\r\n\r\ndata: {"));
  EXPECT_TRUE(all.ends_with("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, AThousandEventsAllArrive) {
  start();
  const auto response = ask(post("/v1/completions", R"({"prompt":"many","max_tokens":1000,"stream":true})"));
  size_t words = 0;
  for (size_t at = 0; (at = response.body.find("word ", at)) != std::string::npos; ++at) ++words;
  EXPECT_EQ(words, 1000u);
}

TEST_F(HttpServerTest, SeveralChoicesOfSeveralPrompts) {
  start();
  const auto response = ask(post("/v1/completions", R"({"prompt":["a","b"],"n":2})"));
  EXPECT_THAT(response.body, HasSubstr(R"("index":3)"));
  EXPECT_THAT(response.body, HasSubstr(R"("prompt_tokens":10)"));
}

TEST_F(HttpServerTest, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  start();
  const auto c = client();
  c->send(get("/v1/models") + chat("hi") + chat("hi", R"(,"stream":true)") + get("/health"));
  EXPECT_THAT(c->read_response().body, HasSubstr(R"("object":"list")"));
  EXPECT_THAT(c->read_response().body, HasSubstr("Hello wörld!"));
  EXPECT_THAT(c->read_response().body, HasSubstr("[DONE]"));
  EXPECT_EQ(c->read_response().body, R"({"status":"ok"})");
}

TEST_F(HttpServerTest, EmptyLinesBeforeARequestAreNoPartOfIt) {
  start();
  const auto c = client();
  c->send("\r\n" + chat("hi") + "\r\n\r\n" + get("/health"));
  EXPECT_THAT(c->read_response().body, HasSubstr("Hello wörld!"));
  EXPECT_EQ(c->read_response().body, R"({"status":"ok"})");
  c->send("\r\n");
  c->send(get("/health"));
  EXPECT_EQ(c->read_response().body, R"({"status":"ok"})");
}

TEST_F(HttpServerTest, OnlyHttp11IsToldToContinue) {
  start();
  const std::string body = R"({"prompt":"Hi"})";
  const auto c = client();
  c->send(message("POST /tokenize HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ",
                  body.size(), "\r\n\r\n"));
  c->send(body);
  EXPECT_THAT(c->read_all(), StartsWith("HTTP/1.0 200"));
}

TEST_F(HttpServerTest, ReadsTheNextRequestThatComesDuringAnAnswer) {
  start();
  const auto c = client();
  c->send(chat("wait", R"(,"stream":true)"));
  EXPECT_THAT(c->read_until("First"), HasSubstr("200 OK"));
  c->send(get("/health"));
  EXPECT_EQ(ask(get("/health")).status, 200);
  engine_.cancel(1);
  EXPECT_THAT(c->read_until("\r\n0\r\n\r\n"), HasSubstr("cancelled"));
  EXPECT_EQ(c->read_response().body, R"({"status":"ok"})");
}

TEST_F(HttpServerTest, ObservesWithoutWork) {
  start();
  EXPECT_EQ(ask(get("/health")).status, 200);
  EXPECT_EQ(ask(get("/ready")).status, 200);
  EXPECT_EQ(ask(get("/v1/models/fake")).status, 200);
  EXPECT_EQ(ask(get("/v1/models/other")).status, 404);
  EXPECT_EQ(ask(get("/nothing")).status, 404);
  EXPECT_EQ(ask(get("/v1/chat/completions")).status, 405);
  EXPECT_THAT(ask(get("/metrics")).body,
              HasSubstr(R"(uhd_http_requests_total{route="/v1/models/",status="404"} 1)"));
  EXPECT_THAT(ask(get("/metrics")).body, HasSubstr("uhd_fake 1"));
  EXPECT_THAT(ask(post("/tokenize", R"({"prompt":"AB"})")).body, HasSubstr("[65,66]"));
  EXPECT_THAT(ask(post("/detokenize", R"({"tokens":[65,66]})")).body, HasSubstr(R"("AB")"));
  engine_.readiness = Readiness::stalled;
  EXPECT_EQ(ask(get("/ready")).status, 503);
  EXPECT_EQ(ask(get("/health")).status, 200);
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  start();
  const auto c = client();
  c->send("HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string all = c->read_all();
  EXPECT_THAT(all, HasSubstr("Content-Length: 15"));
  EXPECT_TRUE(all.ends_with("\r\n\r\n"));
}

TEST_F(HttpServerTest, GivesBackOrMakesTheRequestId) {
  start();
  EXPECT_THAT(ask(get("/health", "X-Request-Id: my-id.1\r\n")).header,
              HasSubstr("x-request-id: my-id.1\r\n"));
  EXPECT_THAT(ask(get("/health", "X-Request-Id: a b\r\n")).header, Not(HasSubstr("a b")));
  ask(post("/v1/completions", R"({"prompt":"hi"})", "X-Request-Id: trace7\r\n"));
  EXPECT_EQ(engine_.seen().back().trace_id, "trace7");
  EXPECT_TRUE(engine_.seen().back().deadline.has_value());
}

TEST_F(HttpServerTest, BadRequestsLeaveTheConnectionUsable) {
  start();
  const auto c = client();
  c->send(post("/v1/chat/completions", "{oops") + chat("x", R"(,"max_tokens":-1)") +
          chat("x", R"(,"model":"other")") + chat("hi"));
  EXPECT_EQ(c->read_response().status, 400);
  const auto negative = c->read_response();
  EXPECT_EQ(negative.status, 400);
  EXPECT_THAT(negative.body, HasSubstr(R"("param":"max_tokens")"));
  EXPECT_EQ(c->read_response().status, 404);
  EXPECT_EQ(c->read_response().status, 200);
}

TEST_F(HttpServerTest, EngineRefusalsKeepTheirStatus) {
  start();
  const auto busy = ask(chat("busy"));
  EXPECT_EQ(busy.status, 429);
  EXPECT_THAT(busy.header, HasSubstr("Retry-After: 3"));
  EXPECT_EQ(ask(chat("fail")).status, 400);
  EXPECT_EQ(ask(chat("fail", R"(,"stream":true)")).status, 400) << "nothing was streamed yet";
  const auto late = ask(chat("late", R"(,"stream":true)"));
  EXPECT_EQ(late.status, 200);
  EXPECT_THAT(late.body, HasSubstr(R"("message":"A rank is gone.")"));
}

TEST_F(HttpServerTest, PlansWithoutSubmitting) {
  start();
  const auto planned = ask(post("/v1/plan", R"({"messages":[{"role":"user","content":[
      {"type":"image_size","width":640,"height":480,"detail":"low"},{"type":"text","text":"hi"}]}],"n":2})"));
  EXPECT_EQ(planned.status, 200);
  EXPECT_THAT(planned.body, HasSubstr(R"("width":640,"height":480,"detail":"low")"));
  EXPECT_THAT(planned.body, HasSubstr(R"("prompt_tokens":100)"));
  EXPECT_THAT(planned.body, HasSubstr(R"("admission":{"admitted":true})"));
  EXPECT_TRUE(engine_.seen().empty());
  const auto plan = [&](const std::string& text) {
    return ask(post("/v1/plan", R"({"messages":[{"role":"user","content":")" + text + "\"}]}"));
  };
  const auto busy = plan("busy");
  EXPECT_EQ(busy.status, 200);
  EXPECT_THAT(busy.body,
              HasSubstr(R"("admitted":false,"status":429,"error":{"message":"The queue is full.")"));
  const auto refused = plan("unplannable");
  EXPECT_EQ(refused.status, 413);
  EXPECT_THAT(refused.body, HasSubstr(R"("code":"image_too_large")"));
  EXPECT_EQ(ask(get("/v1/plan")).status, 405);
  EXPECT_EQ(ask(post("/v1/plan", "{")).status, 400);
}

TEST_F(HttpServerTest, PlansAreLimitedAsTheCallsAre) {
  start({.max_requests_per_client = 1});
  const std::string question = R"({"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_THAT(ask(post("/v1/plan", question)).body, HasSubstr(R"("admitted":true)"));
  const auto running = client();
  running->send(chat("wait", R"(,"stream":true)"));
  running->read_until("First");
  const auto planned = ask(post("/v1/plan", question));
  EXPECT_EQ(planned.status, 200) << "a plan is no running request";
  EXPECT_THAT(planned.body, HasSubstr(R"("code":"too_many_requests")"));
}

TEST_F(HttpServerTest, AClientThatLeavesCancelsItsRequest) {
  start();
  const auto streaming = client();
  streaming->send(chat("wait", R"(,"stream":true)"));
  streaming->read_until("First");
  streaming->leave();
  engine_.wait_for_cancelled(1);
  const auto waiting = client();
  waiting->send(chat("wait", R"(,"n":2)"));
  wait_until([&] { return engine_.seen().size() == 2; });
  waiting->leave();
  engine_.wait_for_cancelled(3);
}

TEST_F(HttpServerTest, OneClientHasALimitOfRunningRequests) {
  start({.max_requests_per_client = 1});
  const auto first = client();
  first->send(chat("wait", R"(,"stream":true)"));
  first->read_until("First");
  const auto refused = ask(chat("hi"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.header, HasSubstr("Retry-After: 1"));
  engine_.cancel(1);
  first->read_until("[DONE]");
  wait_until([&] { return server_->idle(); });
  EXPECT_EQ(ask(chat("hi")).status, 200);
}

TEST_F(HttpServerTest, KeysGuardEveryRouteButHealth) {
  const std::string file = std::string(testing::TempDir()) + "/server_keys";
  std::ofstream(file) << "secret-one\n";
  start({.api_keys_file = file});
  EXPECT_EQ(ask(get("/health")).status, 200);
  for (const char* path : {"/ready", "/metrics", "/v1/models", "/nothing"})
    EXPECT_EQ(ask(get(path)).status, 401) << path;
  EXPECT_EQ(ask(chat("hi")).status, 401);
  EXPECT_EQ(ask(post("/v1/plan", "{}")).status, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer wrong\r\n")).status, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer secret-one\r\n")).status, 200);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})", "Authorization: Bearer secret-one\r\n")).status,
            200);
  EXPECT_EQ(engine_.seen().back().tenant.size(), 16u);
}

TEST_F(HttpServerTest, RefusesLargeHeadersAndBodies) {
  start({.max_header_bytes = 2000, .max_body_bytes = 3000});
  EXPECT_EQ(ask(get("/health", "X-Long: " + std::string(4000, 'a') + "\r\n")).status, 431);
  EXPECT_EQ(ask(post("/v1/completions", std::string(4000, ' '))).status, 413);
  const auto chunked = client();
  chunked->send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 5; ++i) chunked->send("3e8\r\n" + std::string(1000, ' ') + "\r\n");
  EXPECT_EQ(chunked->read_response().status, 413);
  EXPECT_EQ(ask(get("/health")).status, 200);
}

TEST_F(HttpServerTest, AnswersALargeRefusedBodyBeforeTheClientHasSentIt) {
  start({.max_body_bytes = 1000});
  const auto c = client();
  c->send(post("/v1/completions", std::string(8 << 20, ' ')));
  EXPECT_EQ(c->read_response().status, 413);
}

TEST_F(HttpServerTest, BodiesAreCountedAsTheyCome) {
  start({.max_body_bytes = 3000, .max_total_body_bytes = 4000});
  const auto holds = [&](int bytes) {
    return ask(get("/metrics")).body.find("uhd_http_body_bytes " + std::to_string(bytes) + "\n") !=
           std::string::npos;
  };
  const std::string chunked =
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";
  const std::string claiming = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n{";
  std::vector<std::unique_ptr<RawClient>> holders;
  for (const std::string& beginning : {claiming, claiming, claiming, chunked, chunked}) {
    holders.push_back(client());
    holders.back()->send(beginning);
  }
  wait_until([&] { return holds(5); });
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})")).status, 200) << "claims hold nothing";
  holders.clear();
  wait_until([&] { return holds(0); });
}

TEST_F(HttpServerTest, AnUnfinishedBodyGivesWayToANewcomer) {
  start({.max_body_bytes = 3000, .max_client_body_bytes = 4000, .max_total_body_bytes = 4000});
  const auto holder = client();
  holder->send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n" +
               std::string(2900, ' '));
  wait_until([&] { return ask(get("/metrics")).body.find("uhd_http_body_bytes 2900") != std::string::npos; });
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})" + std::string(2000, ' '))).status, 200);
  const auto ended = holder->read_response();
  EXPECT_EQ(ended.status, 503);
  EXPECT_THAT(ended.header, HasSubstr("Retry-After"));
}

TEST_F(HttpServerTest, ImagesAreCountedUntilTheEngineLetsThemGo) {
  start();
  const std::string body = R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":)"
                           R"("data:image/png;base64,iVBORw0KGgo="}},{"type":"text","text":"hi"}]}],"n":2})";
  EXPECT_EQ(ask(post("/v1/chat/completions", body)).status, 200);
  EXPECT_THAT(ask(get("/metrics")).body, HasSubstr("uhd_http_body_bytes 8\n"));
  engine_.forget();
  EXPECT_THAT(ask(get("/metrics")).body, HasSubstr("uhd_http_body_bytes 0\n"));
}

TEST_F(HttpServerTest, NonsenseIsAnsweredAndForgotten) {
  start();
  EXPECT_EQ(ask("\x16\x03\x01\x02nonsense\r\n\r\n").status, 400);
  EXPECT_EQ(ask("GET /health HTTP/9.9\r\n\r\n").status, 400);
  EXPECT_EQ(ask("POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n").status, 400);
  EXPECT_EQ(ask("POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n").status,
            400);
  EXPECT_EQ(ask(get("/health")).status, 200);
}

TEST_F(HttpServerTest, SlowClientsHearWhy) {
  start({.idle_timeout_s = 0.05, .header_timeout_s = 0.05, .body_timeout_s = 0.05});
  const auto silent = client();
  EXPECT_EQ(silent->read_all(), "") << "nothing was asked";
  for (const char* beginning : {"GET /hea", "POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"}) {
    const auto c = client();
    c->send(beginning);
    EXPECT_THAT(c->read_all(), HasSubstr("HTTP/1.1 408 ")) << beginning;
  }
}

TEST_F(HttpServerTest, ABodyThatPausesForTooLongIsEnded) {
  start({.body_pause_s = 0.05});
  const auto c = client();
  c->send("POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(c->read_response().status, 408);
}

TEST_F(HttpServerTest, AnIdleConnectionGivesWayToANewcomer) {
  start({.max_connections = 2});
  const auto first = client();
  first->send(get("/health"));
  EXPECT_EQ(first->read_response().status, 200);
  const auto second = client();
  second->send(get("/health"));
  EXPECT_EQ(second->read_response().status, 200);
  const auto third = client();
  third->send(get("/health"));
  EXPECT_EQ(third->read_response().status, 200);
  int kept = 0;  // of the two that were idle
  for (RawClient* idle : {first.get(), second.get()}) {
    idle->send(get("/health"));
    kept += idle->read_response().status == 200 ? 1 : 0;
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(HttpServerTest, SlowHeadersAndBodiesGiveWay) {
  start({.max_connections = 2, .header_timeout_s = 600, .body_timeout_s = 600, .body_pause_s = 600});
  const auto header = client();
  header->send("GET /health HTT");
  const auto body = client();
  body->send("POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  for (int i = 0; i < 4; ++i) {  // again where the last one has not quite gone yet
    wait_until([&] { return ask(get("/health", "Connection: close\r\n")).status == 200; });
  }
}

TEST_F(HttpServerTest, RunningRequestsKeepTheirConnections) {
  start({.max_connections = 1});
  const auto first = client();
  first->send(chat("wait", R"(,"stream":true)"));
  EXPECT_THAT(first->read_until("First"), HasSubstr("200 OK"));
  EXPECT_EQ(client()->read_response().status, 503);
  first->leave();
  wait_until([&] { return ask(get("/health")).status == 200; });
}

TEST_F(HttpServerTest, AHalfClosedClientGetsItsAnswer) {
  start();
  for (const char* fields : {"", R"(,"stream":true)"}) {
    const auto c = client();
    c->send(chat("hi", fields));
    c->end_sending();
    const std::string all = c->read_all();
    EXPECT_THAT(all, HasSubstr("HTTP/1.1 200 OK"));
    EXPECT_THAT(all, HasSubstr("w\u00f6rld"));
  }
  const auto slow = client();
  slow->send(chat("wait"));
  slow->end_sending();
  EXPECT_THAT(slow->read_until("\r\n\r\n"), HasSubstr("HTTP/1.1 100 Continue")) << "is it still there?";
  const size_t asked = engine_.seen().size();
  engine_.cancel(asked);
  EXPECT_THAT(slow->read_all(), HasSubstr("503"));
  EXPECT_EQ(engine_.seen().size(), asked);
}

TEST_F(HttpServerTest, ARequestThatEndsTooEarlyIsTold) {
  start();
  const auto c = client();
  c->send("POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  c->end_sending();
  EXPECT_EQ(c->read_response().status, 400);
}

TEST_F(HttpServerTest, ASilentStreamGivesSignsOfLife) {
  start({.stream_ping_s = 0.02});
  const auto c = client();
  c->send(chat("wait", R"(,"stream":true)"));
  c->read_until("First");
  EXPECT_THAT(c->read_until(": waiting\n\n"), HasSubstr(": waiting"));
  EXPECT_THAT(c->read_until(": waiting\n\n"), HasSubstr(": waiting"));
  engine_.cancel(1);
  EXPECT_THAT(c->read_until("[DONE]"), HasSubstr("cancelled"));
}

TEST_F(HttpServerTest, TheHeaderOfAStreamComesBeforeItsFirstToken) {
  start({.stream_ping_s = 0.02});
  const auto c = client();
  c->send(chat("later", R"(,"stream":true)"));
  EXPECT_THAT(c->read_until(": waiting\n\n"), HasSubstr("text/event-stream"));
  engine_.cancel(1);
  EXPECT_THAT(c->read_until("[DONE]"), HasSubstr(R"("code":"cancelled")"));
}

TEST_F(HttpServerTest, AStreamThatNobodyReadsIsGivenUp) {
  start({.max_backlog_bytes = 1 << 16, .write_timeout_s = 600});
  const auto c = client();
  c->send(post("/v1/completions", R"({"prompt":"endless","stream":true,"max_tokens":2000})"));
  c->read_until("200 OK");
  engine_.wait_for_cancelled(1);
}

TEST_F(HttpServerTest, TakesEveryFormOfTarget) {
  start();
  EXPECT_EQ(ask("GET http://localhost:1/health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(ask("GET http://evil.example/v1/models HTTP/1.1\r\nHost: x\r\n\r\n").status, 403);
  EXPECT_EQ(ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status, 204);
  EXPECT_EQ(ask(get("//v1//models/")).status, 200);
  EXPECT_EQ(ask("GET health HTTP/1.1\r\nHost: x\r\n\r\n").status, 400);
  EXPECT_EQ(ask("CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n").status, 400);
}

TEST_F(HttpServerTest, BodiesItCannotReadAreNamed) {
  start();
  const auto gzip = ask(post("/v1/completions", "\x1f\x8b", "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(gzip.status, 415);
  EXPECT_THAT(gzip.body, HasSubstr("'gzip'"));
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})", "Content-Encoding: identity\r\n")).status, 200);
  EXPECT_EQ(ask(post("/v1/completions", "x", "Content-Type: multipart/form-data; boundary=x\r\n")).status,
            415);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})",
                     "Content-Type: application/x-www-form-urlencoded\r\n"))
                .status,
            200)
      << "what curl -d says";
  EXPECT_THAT(
      ask(post("/v1/completions", "prompt=hi", "Content-Type: application/x-www-form-urlencoded\r\n")).body,
      HasSubstr("Its Content-Type is"))
      << "but not a form";
}

TEST_F(HttpServerTest, PagesOfStrangersAreRefused) {
  start();
  EXPECT_EQ(ask("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})", "Origin: https://evil.example\r\n")).status,
            403);
  EXPECT_TRUE(engine_.seen().empty());
}

TEST_F(HttpServerTest, ListensOnEveryAddressOfAName) {
  start({.host = "::"});
  EXPECT_EQ(ask(get("/health")).status, 200) << "by IPv4, too, and where there is no IPv6";
  NetOptions localhost{.host = "localhost", .port = 0};
  EXPECT_GT(HttpServer(localhost).port(), 0);
  const NetOptions all{.host = "*", .port = 0};  // both families as two addresses
  EXPECT_GT(HttpServer(all).port(), 0);
  const NetOptions none{.host = "", .port = 0};  // a shell variable that is not set must not open everything
  EXPECT_THROW(HttpServer{none}, Error);
}

TEST_F(HttpServerTest, CrossOriginIsOffByDefault) {
  start();
  EXPECT_THAT(ask(get("/health", "Origin: http://a\r\n")).header, Not(HasSubstr("Access-Control")));
}

TEST_F(HttpServerTest, CrossOriginCanBeAllowed) {
  start({.cors_origin = "http://a"});
  EXPECT_THAT(ask(get("/health")).header, HasSubstr("Access-Control-Allow-Origin: http://a"));
  EXPECT_EQ(ask("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n").status, 204);
}

TEST_F(HttpServerTest, DrainsRunningRequestsAndRefusesNewOnes) {
  start();
  const auto running = client();
  running->send(chat("wait", R"(,"stream":true)"));
  running->read_until("First");
  const auto idle = client();
  idle->send(get("/health"));
  idle->read_response();

  server_->drain();
  EXPECT_EQ(idle->read_all(), "") << "an idle connection is closed";
  const auto refused = ask(chat("hi"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.header, HasSubstr("Retry-After"));
  EXPECT_THAT(refused.header, HasSubstr("Connection: close"));
  EXPECT_FALSE(server_->idle());

  engine_.cancel(1);
  EXPECT_THAT(running->read_all(), HasSubstr("[DONE]"));
  wait_until([&] { return server_->idle(); });
  server_->stop();
}

TEST_F(HttpServerTest, StopCancelsWhatRuns) {
  start();
  const auto running = client();
  running->send(chat("wait", R"(,"stream":true)"));
  running->read_until("First");
  server_->stop();
  engine_.wait_for_cancelled(1);
  running->read_all();
}

TEST_F(HttpServerTest, ABusyPortIsAClearError) {
  start();
  try {
    HttpServer second({.port = server_->port()});
    FAIL() << "two servers on one port";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("--net.port"));
    EXPECT_THAT(e.what(), HasSubstr(std::to_string(server_->port())));
  }
  EXPECT_THROW(HttpServer({.host = "no such host"}), Error);
}

}  // namespace
}  // namespace uhd
