#include "net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <future>

#include "base/error.h"
#include "base/log.h"
#include "tests/net/fake_engine.h"
#include "tests/net/raw_client.h"
#include "tests/net/tls_client.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Runs a server on a free port over a FakeEngine.
class HttpServerTest : public testing::Test {
 protected:
  // Adds TLS.
  static NetOptions with_tls(const TemporaryDirectory& folder, NetOptions options) {
    options.tls_certificate = folder.path() / "certificate.pem";
    options.tls_key = folder.path() / "key.pem";
    make_certificate(options.tls_certificate, options.tls_key);
    return options;
  }
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
  EXPECT_THAT(response.header,
              ::testing::ContainsRegex("Date: [A-Z][a-z][a-z], [0-9]+ [A-Z][a-z]+ 20[0-9]+ [0-9:]+ GMT\r\n"));
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

TEST_F(HttpServerTest, TheHeaderOfAStreamIsSentAtOnce) {
  start({.stream_ping_s = 0});
  const auto c = client();
  c->send(chat("later", R"(,"stream":true)"));
  EXPECT_THAT(c->read_until("\r\n\r\n"), HasSubstr("text/event-stream"));
}

TEST_F(HttpServerTest, PathsAreServedUnderTheNamesThatOthersGiveThem) {
  start();
  EXPECT_THAT(ask(post("/chat/completions", R"({"messages":[{"role":"user","content":"hi"}]})")).body,
              HasSubstr("Hello wörld!"));
  EXPECT_THAT(ask(post("/completions", R"({"prompt":"hi"})")).body, HasSubstr("Hello wörld!"));
  EXPECT_THAT(ask(get("/models")).body, HasSubstr(R"("object":"list")"));
  EXPECT_THAT(ask(get("/models/fake")).body, HasSubstr(R"("id":"fake")"));
  EXPECT_EQ(ask(get("/livez")).body, ask(get("/health")).body);
  EXPECT_EQ(ask(get("/readyz")).body, ask(get("/ready")).body);
  engine_.readiness = Readiness::stalled;
  EXPECT_EQ(ask(get("/readyz")).status, 503);
  EXPECT_EQ(ask(get("/livez")).status, 200);
  EXPECT_THAT(ask(get("/version")).body, testing::MatchesRegex(R"(\{"version":"[0-9.]+"\})"));
  EXPECT_THAT(ask(get("/openapi.json")).body, HasSubstr(R"("/v1/chat/completions")"));
}

TEST_F(HttpServerTest, AModelHasSeveralNames) {
  engine_.info.aliases = {"other", "gpt-4o"};
  start();
  EXPECT_THAT(ask(get("/v1/models")).body, HasSubstr(R"("id":"gpt-4o")"));
  EXPECT_THAT(ask(get("/v1/models/other")).body, HasSubstr(R"("id":"other")"));
  EXPECT_EQ(ask(get("/v1/models/third")).status, 404);
  EXPECT_THAT(ask(chat("hi", R"(,"model":"other")")).body, HasSubstr(R"("model":"other")"));
  EXPECT_THAT(ask(chat("hi")).body, HasSubstr(R"("model":"fake")"));
  EXPECT_EQ(ask(chat("hi", R"(,"model":"third")")).status, 404);
}

TEST_F(HttpServerTest, UnknownFieldsAreRefusedOrNamedInAHeader) {
  start();
  EXPECT_EQ(ask(chat("hi", R"(,"tempreature":0)")).status, 400);
  server_.reset();
  start({.unknown_fields = "warn"});
  const std::string warning = "X-Uhd-Warning: 'tempreature' is ignored; did you mean 'temperature'?";
  for (const char* stream : {"false", "true"}) {
    const auto response = ask(chat("hi", message(R"(,"tempreature":0,"stream":)", stream)));
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.header, HasSubstr(warning));
  }
  for (const char* path : {"/v1/plan", "/tokenize"}) {
    const auto response = ask(post(path, R"({"messages":[{"role":"user","content":"hi"}],"tempreature":0})"));
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.header, HasSubstr("'tempreature' is ignored"));
  }
  EXPECT_THAT(ask(chat("hi")).header, Not(HasSubstr("X-Uhd-Warning")));
}

TEST_F(HttpServerTest, APromptIsEchoedBeforeItsAnswerOrAlone) {
  start();
  EXPECT_THAT(ask(post("/v1/completions", R"({"prompt":"Say: ","echo":true})")).body,
              HasSubstr(R"("text":"Say: Hello wörld!")"));
  EXPECT_THAT(ask(post("/v1/completions", R"({"prompt":[72,105],"echo":true})")).body,
              HasSubstr(R"("text":"HiHello)"));
  const auto streamed = ask(post("/v1/completions", R"({"prompt":"Say: ","echo":true,"stream":true})"));
  EXPECT_THAT(streamed.body, HasSubstr(R"("text":"Say: Hello")"));
  EXPECT_THAT(streamed.body, HasSubstr(R"("text":" wörld")"));
  engine_.forget();
  const auto alone = ask(post("/v1/completions", R"({"prompt":["a","b"],"echo":true,"max_tokens":0,"n":2})"));
  EXPECT_EQ(alone.status, 200);
  EXPECT_THAT(alone.body, HasSubstr(R"("index":2,"finish_reason":"length")"));
  EXPECT_THAT(alone.body, HasSubstr(R"("text":"b")"));
  EXPECT_THAT(alone.body, HasSubstr(R"("prompt_tokens":8,"completion_tokens":0)"));
  EXPECT_TRUE(engine_.seen().empty()) << "nothing is computed";
}

// The prompt's tokens go before the answer's, also where nothing is answered; a stream tells them once.
TEST_F(HttpServerTest, AnEchoHasTheLogprobsOfItsPrompt) {
  start();
  const std::string prompt = R"("tokens":["a","b")", values = R"("token_logprobs":[null,-1.5E0)",
                    tops = R"("top_logprobs":[null,{"?":-2.5E-1,"b":-1.5E0})";
  const auto whole = ask(post("/v1/completions", R"({"prompt":"ab","echo":true,"logprobs":1})")).body;
  for (const std::string& part : {prompt + R"(,"Hello",)", values + ",-5E-1,", tops + R"(,{"Hello":-5E-1,)",
                                  std::string(R"("text_offset":[0,1,2,7,)")}) {
    EXPECT_THAT(whole, HasSubstr(part));
  }
  const auto streamed =
      ask(post("/v1/completions", R"({"prompt":"ab","echo":true,"logprobs":1,"stream":true})")).body;
  EXPECT_THAT(streamed, HasSubstr(prompt + R"(,"Hello"])"));
  EXPECT_EQ(streamed.find(prompt), streamed.rfind(prompt));
  engine_.forget();
  const auto alone =
      ask(post("/v1/completions",
               R"({"prompt":["ab","c"],"echo":true,"logprobs":0,"max_tokens":0,"prompt_logprobs":1})"));
  EXPECT_THAT(alone.body, HasSubstr(R"("top_logprobs":[null,{"b":-1.5E0})")) << "of an echo as many as asked";
  ASSERT_EQ(engine_.seen().size(), 2u);
  EXPECT_TRUE(engine_.seen()[0].stop.prompt_only);
  EXPECT_EQ(engine_.seen()[0].prompt_logprobs, 1);
}

TEST_F(HttpServerTest, LogprobsOfThePromptComeInTheFormOfVllm) {
  start();
  const std::string places =
      R"("prompt_logprobs":[null,{"105":{"logprob":-1.5E0,"rank":2,"decoded_token":"i"},)"
      R"("63":{"logprob":-2.5E-1,"rank":1,"decoded_token":"?"}}])";
  const auto chat = ask(this->chat("hi", R"(,"prompt_logprobs":1)")).body;
  EXPECT_THAT(chat, HasSubstr(places));
  EXPECT_THAT(chat, HasSubstr(R"("content":"Hello wörld!")"));
  EXPECT_THAT(chat, HasSubstr(R"("logprobs":null)"));
  const auto completion = ask(post("/v1/completions", R"({"prompt":"hi","prompt_logprobs":1})")).body;
  EXPECT_THAT(completion, HasSubstr(places + R"(,"text":"Hello)")) << "in the choice";
  EXPECT_THAT(ask(this->chat("hi")).body, Not(HasSubstr("prompt_logprobs")));
}

TEST_F(HttpServerTest, AConversationIsTokenisedAsItWouldRun) {
  start();
  const auto response = ask(post("/tokenize", R"({"messages":[{"role":"user","content":[
      {"type":"image_size","width":9,"height":9},{"type":"text","text":"hi"}]}],"return_token_strs":true})"));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr(R"("count":4)"));
  EXPECT_THAT(response.body, HasSubstr(R"("tokens":[104,-1,-1,105])"));
  EXPECT_THAT(response.body, HasSubstr(R"("token_strs":["h","","","i"])"));
  EXPECT_EQ(ask(post("/tokenize", R"({"messages":[{"role":"user","content":"unplannable"}]})")).status, 413);
  EXPECT_THAT(ask(post("/tokenize", R"({"prompt":"hi"})")).body, HasSubstr(R"("tokens":[104,105])"));
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":"hi","messages":[]})")).status, 400);
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

TEST_F(HttpServerTest, TheSoonerDeadlineHolds) {
  start({.request_timeout_s = 100});
  const auto seconds_left = [&](const std::string& more) {
    ask(post("/v1/completions", R"({"prompt":"hi")" + more + "}"));
    return seconds(engine_.seen().back().deadline.value() - Clock::now());
  };
  EXPECT_NEAR(seconds_left(""), 100, 20);
  EXPECT_NEAR(seconds_left(R"(,"timeout":30)"), 30, 20);
  EXPECT_NEAR(seconds_left(R"(,"timeout":5000)"), 100, 20);
  EXPECT_THAT(ask(post("/v1/completions", R"({"prompt":"hi","timeout":0})")).body, HasSubstr("timeout"));
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
  const auto failed = ask(chat("fail", R"(,"stream":true)"));
  EXPECT_EQ(failed.status, 200) << "the header of a stream is sent at once";
  EXPECT_THAT(failed.body, HasSubstr(R"("message":"The image is broken.")"));
  EXPECT_TRUE(failed.body.ends_with("data: [DONE]\n\n"));
  const auto late = ask(chat("late", R"(,"stream":true)"));
  EXPECT_EQ(late.status, 200);
  EXPECT_THAT(late.body, HasSubstr(R"("message":"A rank is gone.")"));
}

TEST_F(HttpServerTest, ACallThatWaitsForItsTurnIsSubmittedAgain) {
  start();
  engine_.turns = 3;
  EXPECT_EQ(ask(chat("turn")).status, 200);
  EXPECT_EQ(engine_.turns, 0);
  engine_.turns = 2;
  EXPECT_TRUE(ask(chat("turn", R"(,"stream":true)")).body.ends_with("data: [DONE]\n\n"));
  engine_.forget();
  engine_.turns = 2;
  const auto several = ask(post("/v1/completions", R"({"prompt":["hi","turn","hi"],"max_tokens":9})"));
  EXPECT_EQ(several.status, 200);
  EXPECT_THAT(several.body, HasSubstr(R"("index":2)"));
  EXPECT_EQ(engine_.seen().size(), 3u) << "a prompt that was accepted is not submitted again";
}

TEST_F(HttpServerTest, ACallThatHoldsTooMuchDoesNotWaitForItsTurn) {
  start({.max_total_body_bytes = 20000});
  engine_.turns = 1;
  const std::string rule = R"(,"regex":")" + std::string(4000, 'a') + R"(","max_tokens":9})";
  const auto much =
      ask(post("/v1/completions", R"({"prompt":["turn","hi","hi","hi","hi","hi","hi","hi"])" + rule));
  EXPECT_EQ(much.status, 503) << "each prompt has the rule";
  EXPECT_THAT(much.body, HasSubstr("grammar_busy"));
  engine_.turns = 1;
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":["turn"])" + rule)).status, 200);
}

TEST_F(HttpServerTest, ACallThatWaitsForItsTurnEndsWithItsClient) {
  start();
  engine_.turns = 1 << 30;
  auto waiting = client();
  waiting->send(post("/v1/completions", R"({"prompt":["wait","turn"],"max_tokens":9})"));
  wait_until([&] { return engine_.turns < (1 << 30) - 1; });
  EXPECT_FALSE(server_->idle());
  EXPECT_EQ(ask(chat("hi")).status, 200) << "others are served";
  waiting->leave();
  engine_.wait_for_cancelled(1);
  wait_until([&] { return server_->idle(); });
}

// The second try is held until the test lets it go.
struct HeldTry {
  explicit HeldTry(FakeEngine& engine) {
    engine.turns = 1;
    engine.before_submit = [this](const std::string& text) {
      if (text != "turn" || ++tries != 2) return;
      begun.set_value();
      go.get_future().wait();
    };
  }
  std::atomic<int> tries = 0;
  std::promise<void> begun, go;
};

TEST_F(HttpServerTest, AClientMayLeaveWhileItsCallIsSubmittedAgain) {
  HeldTry held(engine_);
  start();
  auto waiting = client();
  waiting->send(chat("turn"));
  held.begun.get_future().wait();
  waiting->reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the server most likely sees it meanwhile
  held.go.set_value();
  wait_until([&] { return server_->idle(); });
  EXPECT_EQ(ask(chat("hi")).status, 200);
}

TEST_F(HttpServerTest, StopWaitsForACallThatIsSubmittedAgain) {
  HeldTry held(engine_);
  start();
  auto waiting = client();
  waiting->send(chat("turn"));
  held.begun.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { server_->stop(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  held.go.set_value();
  stopped.get();
  SUCCEED() << "it comes back";
}

TEST_F(HttpServerTest, StopEndsACallThatWaitsForItsTurn) {
  start();
  engine_.turns = 1 << 30;
  auto waiting = client();
  waiting->send(chat("turn"));
  wait_until([&] { return engine_.turns < (1 << 30) - 1; });
  server_->stop();
  SUCCEED() << "it comes back";
}

TEST_F(HttpServerTest, PlansWithoutSubmitting) {
  start();
  const auto planned = ask(post("/v1/plan", R"({"messages":[{"role":"user","content":[
      {"type":"image_size","width":640,"height":480,"detail":"low"},{"type":"text","text":"hi"}]}],"n":2})"));
  EXPECT_EQ(planned.status, 200);
  EXPECT_THAT(planned.body, HasSubstr(R"("width":640,"height":480,"detail":"low")"));
  EXPECT_THAT(planned.body, HasSubstr(R"("prompt_tokens":100)"));
  EXPECT_THAT(planned.body, HasSubstr(R"("cached":{"tokens":64,"slices":3})"));
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

TEST_F(HttpServerTest, KeysGuardEveryRouteButProbes) {
  const TemporaryDirectory folder;
  const std::string file = folder.write("keys", "secret-one\nsecret-two quota=2.5\n");
  start({.api_keys_file = file});
  for (const char* path : {"/health", "/livez", "/ready", "/readyz"})
    EXPECT_EQ(ask(get(path)).status, 200) << path;
  for (const char* path : {"/metrics", "/v1/models", "/models", "/version", "/openapi.json", "/nothing"})
    EXPECT_EQ(ask(get(path)).status, 401) << path;
  EXPECT_EQ(ask(chat("hi")).status, 401);
  EXPECT_EQ(ask(post("/v1/plan", "{}")).status, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer wrong\r\n")).status, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer secret-one\r\n")).status, 200);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})", "Authorization: Bearer secret-one\r\n")).status,
            200);
  EXPECT_EQ(engine_.seen().back().tenant.size(), 16u);
  EXPECT_EQ(engine_.seen().back().quota, 0);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":"hi"})", "Authorization: Bearer secret-two\r\n")).status,
            200);
  EXPECT_EQ(engine_.seen().back().quota, 2.5);
}

TEST_F(HttpServerTest, ASettingOpensTheMetricsAlone) {
  const TemporaryDirectory folder;
  start({.api_keys_file = folder.write("keys", "secret-one\n"), .open_metrics = true});
  EXPECT_EQ(ask(get("/metrics")).status, 200);
  for (const char* path : {"/metrics2", "/v1/models", "/version", "/openapi.json"})
    EXPECT_EQ(ask(get(path)).status, 401) << path;
}

TEST_F(HttpServerTest, EveryRequestHasOneLineInTheLog) {
  const TemporaryDirectory folder;
  const std::string file = folder.write("keys", "secret-one\n");
  start({.api_keys_file = file, .max_body_bytes = 4000});
  const std::string key = "Authorization: Bearer secret-one\r\n";
  const auto posted = [&](const std::string& id, const std::string& text, const std::string& fields = "") {
    const std::string body = R"({"messages":[{"role":"user","content":")" + text + "\"}]" + fields + "}";
    return ask(post("/v1/chat/completions", body, key + "X-Request-Id: " + id + "\r\n"));
  };
  testing::internal::CaptureStderr();
  posted("good", "hi");
  posted("streamed", "hi", R"(,"stream":true)");
  posted("failed", "late", R"(,"stream":true)");
  posted("wrong", "hi", R"(,"temperature":9)");
  posted("busy", "busy");
  posted("large", std::string(5000, 'x'));
  ask(get("/health"));
  ask(get("/v1/models", "X-Request-Id: keyless\r\n"));
  ask(get("/nothing", key + "X-Request-Id: lost\r\n"));
  ask("nonsense\r\n\r\n");
  const auto leaver = client();
  leaver->send(post("/v1/chat/completions",
                    R"({"messages":[{"role":"user","content":"wait"}],"stream":true})",
                    key + "X-Request-Id: left\r\n"));
  leaver->read_until("First");
  leaver->leave();
  engine_.wait_for_cancelled(1);
  const auto broken = client();
  const std::string unsent = post("/v1/chat/completions", std::string(100, 'x'),
                                  key + "X-Request-Id: broken\r\nExpect: 100-continue\r\n");
  broken->send(unsent.substr(0, unsent.size() - 100));
  broken->read_until("100 Continue");
  broken->reset();
  wait_until([&] { return server_->idle(); });
  flush_log();
  const std::string log = testing::internal::GetCapturedStderr();
  const auto line_of = [&](const std::string& words) {
    const size_t at = log.find(words);
    EXPECT_NE(at, std::string::npos) << words << " in\n" << log;
    if (at == std::string::npos) return std::string();
    EXPECT_EQ(log.find(words, at + 1), std::string::npos) << "one line for " << words;
    return log.substr(at, log.find('\n', at) - at);
  };
  const std::string good = line_of("answered id=good ");
  EXPECT_THAT(good,
              HasSubstr("method=POST path=/v1/chat/completions status=200 code= client=127.0.0.1 key="));
  EXPECT_THAT(good, HasSubstr(" images=1 slices=6 prompt=5 tokens=3 "));
  EXPECT_THAT(good, HasSubstr(" ttft=0.25 "));
  EXPECT_THAT(good, testing::ContainsRegex(" key=[0-9a-f]{8} bytes=[1-9][0-9]+ seconds=[0-9]"));
  EXPECT_THAT(line_of("answered id=streamed "), HasSubstr(" status=200 code= "));
  EXPECT_THAT(line_of("answered id=failed "), HasSubstr(" status=200 code=lost "));
  EXPECT_THAT(line_of("answered id=wrong "), HasSubstr(" status=400 code=invalid_value "));
  EXPECT_THAT(line_of("answered id=busy "), HasSubstr(" status=429 code=queue_full "));
  EXPECT_THAT(line_of("answered id=large "), HasSubstr(" status=413 "));
  EXPECT_THAT(line_of("answered id=keyless "), HasSubstr(" status=401 code=invalid_api_key "));
  EXPECT_THAT(line_of("answered id=lost "), HasSubstr(" status=404 code=not_found "));
  EXPECT_THAT(line_of("answered id=left "), HasSubstr(" status=499 code=client_left "));
  EXPECT_THAT(line_of("answered id=broken "), HasSubstr(" status=499 code=client_left "));
  EXPECT_THAT(log, HasSubstr(" status=400 code=bad_http "));
  EXPECT_THAT(log, Not(HasSubstr("/health"))) << "those that only look are told if they fail";
  EXPECT_THAT(log, Not(HasSubstr("secret")));
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

TEST_F(HttpServerTest, AnswersALargeRefusedBodyOverTlsToo) {
  const TemporaryDirectory folder;
  start(with_tls(folder, {.max_body_bytes = 1000}));
  TlsClient c(server_->port());
  EXPECT_TRUE(c.send(post("/v1/completions", std::string(32 << 20, ' '))));
  EXPECT_THAT(c.read_all(), StartsWith("HTTP/1.1 413 "));
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
  EXPECT_EQ(ask("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n").status, 400);
  EXPECT_EQ(ask("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n")
                .status,
            400);
  EXPECT_EQ(ask(get("/health")).status, 200);
}

TEST_F(HttpServerTest, SlowClientsHearWhy) {
  start({.idle_timeout_s = 0.05, .header_timeout_s = 0.05, .body_timeout_s = 0.05});
  const auto silent = client();
  EXPECT_EQ(silent->read_all(), "") << "nothing was asked";
  for (const char* beginning :
       {"GET /hea", "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"}) {
    const auto c = client();
    c->send(beginning);
    EXPECT_THAT(c->read_all(), HasSubstr("HTTP/1.1 408 ")) << beginning;
  }
}

TEST_F(HttpServerTest, ABodyThatPausesForTooLongIsEnded) {
  start({.body_pause_s = 0.05});
  const auto c = client();
  c->send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
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
  body->send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
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

TEST_F(HttpServerTest, ANewcomerWithoutAPlaceGetsNoPlainHttpWhereTlsIsSpoken) {
  const TemporaryDirectory folder;
  start(with_tls(folder, {.max_connections = 1}));
  TlsClient first(server_->port());
  first.send(chat("wait", R"(,"stream":true)"));
  wait_until([&] { return !engine_.seen().empty(); });
  EXPECT_EQ(client()->read_all(), "");
}

TEST_F(HttpServerTest, AHalfClosedClientGetsItsAnswer) {
  start();
  for (const char* fields : {"", R"(,"stream":true)"}) {
    const auto c = client();
    c->send(chat("hi", fields));
    c->end_sending();
    const std::string all = c->read_all();
    EXPECT_TRUE(c->closed_by_server()) << "nothing more can be asked";
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
  EXPECT_TRUE(slow->closed_by_server());
  EXPECT_EQ(engine_.seen().size(), asked);
}

TEST_F(HttpServerTest, ARequestThatEndsTooEarlyIsTold) {
  start();
  const auto c = client();
  c->send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
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

// The engine is far ahead of the connection, which is full long before so much has piled up.
TEST_F(HttpServerTest, AStreamIsGivenUpWhileItIsWritten) {
  engine_.info.context_length = 1 << 20;
  start({.max_backlog_bytes = 64 << 20, .write_timeout_s = 600});
  const auto c = client();
  const int little = 4096;
  setsockopt(c->descriptor(), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
  c->send(post("/v1/completions", R"({"prompt":"endless","stream":true,"max_tokens":1000000})"));
  c->read_until("200 OK");
  engine_.wait_for_cancelled(1);
  wait_until([&] { return server_->idle(); });
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

TEST_F(HttpServerTest, AnswersWhileTheModelLoads) {
  server_ = std::make_unique<HttpServer>(NetOptions{.port = 0});
  server_->open([] { return std::string("half \"of\" it"); });
  const auto c = client();
  const auto ask_again = [&](const std::string& request) {
    c->send(request);
    return c->read_response();
  };
  EXPECT_EQ(ask_again(get("/health")).status, 200);
  EXPECT_EQ(ask_again(get("/version")).status, 200);
  EXPECT_EQ(ask_again(get("/nothing")).status, 404);
  const auto ready = ask_again(get("/ready"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, R"({"status":"starting","loading":"half \"of\" it"})");
  for (const std::string& request :
       {chat("hi"), get("/v1/models"), get("/metrics"), post("/tokenize", "{}")}) {
    const auto response = ask_again(request);
    EXPECT_EQ(response.status, 503);
    EXPECT_THAT(response.header, HasSubstr("Retry-After: "));
    EXPECT_THAT(response.body, HasSubstr("\"code\":\"loading\""));
  }
  server_->start(engine_);
  EXPECT_EQ(ask_again(chat("hi")).status, 200) << "on the same connection";
  EXPECT_EQ(ask_again(get("/ready")).status, 200);
}

TEST_F(HttpServerTest, MayEndWhileTheModelLoads) {
  server_ = std::make_unique<HttpServer>(NetOptions{.port = 0});
  server_->open([] { return std::string("it"); });
  const auto c = client();
  c->send(get("/health"));
  EXPECT_EQ(c->read_response().status, 200);
  server_.reset();  // the load has failed
  EXPECT_EQ(c->read_all(), "");
}

TEST_F(HttpServerTest, ServesResponses) {
  start();
  const auto whole = ask(post("/v1/responses", R"({"input":"hi"})"));
  EXPECT_EQ(whole.status, 200);
  EXPECT_THAT(whole.body, HasSubstr(R"("text":"Hello wörld!")"));
  const auto stream = ask(post("/v1/responses", R"({"input":"hi","stream":true})"));
  EXPECT_THAT(stream.body, StartsWith("event: response.created\ndata: {"));
  EXPECT_THAT(stream.body, HasSubstr("event: response.completed\ndata: {"));
  const auto late = ask(post("/v1/responses", R"({"input":"late","stream":true})"));
  EXPECT_THAT(late.body, HasSubstr("event: response.failed\ndata: {"));
  EXPECT_EQ(ask(post("/v1/responses", R"({"input":"fail"})")).status, 400) << "as a chat";
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
