// Fetches images from a server on this machine that misbehaves in every way, and holds addresses and URLs to
// tables.
#include "net/remote_image.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "net/http_server.h"
#include "net/openai.h"
#include "net/public_address.h"
#include "tests/net/fake_engine.h"
#include "tests/net/raw_client.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

const std::string kFetchedPng = "\x89PNG\r\n\x1a\n and what follows";

std::string answer_of(const std::string& body, const std::string& fields = "") {
  return message("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n", fields, "\r\n", body);
}

// Accepts connections on a loopback port, one after another; `serve` has each until it returns.
class MisbehavingServer {
 public:
  using Serve = std::function<void(int connection, const std::string& request)>;

  explicit MisbehavingServer(Serve serve)
      : serve_(std::move(serve)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    require(bind(listener_, plain, length) == 0 && listen(listener_, 8) == 0, "no port for a server");
    getsockname(listener_, plain, &length);
    port_ = std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { run(); });
  }
  explicit MisbehavingServer(std::string answer)
      : MisbehavingServer([text = std::move(answer)](int connection, const std::string&) {
          [[maybe_unused]] const ssize_t sent = send(connection, text.data(), text.size(), MSG_NOSIGNAL);
        }) {}
  ~MisbehavingServer() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  MisbehavingServer(const MisbehavingServer&) = delete;
  MisbehavingServer& operator=(const MisbehavingServer&) = delete;

  std::string host() const { return "127.0.0.1:" + port_; }
  std::string url(const std::string& path = "/a.png") const { return "http://" + host() + path; }
  const std::string& port() const { return port_; }
  bool stopped() const { return stopped_; }
  int connections() const { return connections_; }
  std::string request() const {
    std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void run() {
    while (!stopped_) {
      pollfd waits{listener_, POLLIN, 0};
      if (poll(&waits, 1, 10) <= 0) continue;
      const int connection = accept(listener_, nullptr, nullptr);
      ++connections_;
      pollfd comes{connection, POLLIN, 0};
      char bytes[4096];
      const ssize_t got = poll(&comes, 1, 1000) > 0 ? recv(connection, bytes, sizeof(bytes), MSG_PEEK) : 0;
      const std::string text(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0)));
      {
        std::lock_guard lock(mutex_);
        request_ = text;
      }
      serve_(connection, text);
      recv(connection, bytes, sizeof(bytes), MSG_DONTWAIT);  // unread bytes would reset the connection
      close(connection);
    }
  }

  const Serve serve_;
  const int listener_;
  std::string port_;
  std::atomic<bool> stopped_ = false;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::string request_;
  std::thread thread_;
};

NetOptions options_for(const std::string& hosts) {
  NetOptions options;
  options.intake_threads = 2;
  options.image_hosts = hosts;
  options.image_private_addresses = true;
  options.max_image_bytes = 4096;
  return options;
}

std::variant<std::string, ApiError> fetched(const MisbehavingServer& server,
                                            const std::string& path = "/a.png", Duration limit = 5s) {
  return fetch_image(server.url(path), options_for(server.host()), Clock::now() + limit);
}
// A call that names the image twice.
std::string body_with(const std::string& url) {
  const std::string image = R"({"type":"image_url","image_url":{"url":")" + url + R"("}})";
  return message(R"({"messages":[{"role":"user","content":[)", image, ',', image, "]}]}");
}
std::string code_of(const std::variant<std::string, ApiError>& result) {
  return std::holds_alternative<ApiError>(result) ? std::get<ApiError>(result).code : "an image";
}

TEST(RemoteImage, IsFetchedAsItIs) {
  const MisbehavingServer server(answer_of(kFetchedPng));
  const auto result = fetched(server, "/a%20b.png?size=%2F2&x=1#part");
  ASSERT_EQ(code_of(result), "an image");
  EXPECT_EQ(std::get<std::string>(result), kFetchedPng);
  EXPECT_TRUE(server.request().starts_with("GET /a%20b.png?size=%2F2&x=1 HTTP/1.1\r\nHost: " + server.host() +
                                           "\r\n"));
  EXPECT_EQ(server.request().find("Authorization"), std::string::npos);
  const MisbehavingServer chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n" +
                                  kFetchedPng.substr(0, 8) + "\r\n2\r\nab\r\n0\r\n\r\n");
  EXPECT_EQ(std::get<std::string>(fetched(chunked)), kFetchedPng.substr(0, 8) + "ab");
  const MisbehavingServer until_end("HTTP/1.0 200 OK\r\n\r\n" + kFetchedPng);
  EXPECT_EQ(std::get<std::string>(fetched(until_end)), kFetchedPng);
}

TEST(RemoteImage, AHostThatIsNotListedIsNotAskedFor) {
  const MisbehavingServer server(answer_of(kFetchedPng));
  for (const std::string& hosts :
       {"127.0.0.1"s, "127.0.0.1:1"s, "localhost:" + server.port(), "27.0.0.1:" + server.port()}) {
    EXPECT_EQ(code_of(fetch_image(server.url(), options_for(hosts), Clock::now() + 5s)), "invalid_image_url")
        << hosts;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(RemoteImage, APrivateAddressIsNotConnectedTo) {
  const MisbehavingServer server(answer_of(kFetchedPng));
  for (const std::string& name : {"127.0.0.1"s, "localhost"s, "127.1"s, "2130706433"s}) {
    NetOptions options = options_for(name + ":" + server.port());
    const std::string url = "http://" + name + ":" + server.port() + "/a.png";
    options.image_private_addresses = false;
    EXPECT_EQ(code_of(fetch_image(url, options, Clock::now() + 5s)), "image_fetch_failed") << name;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(RemoteImage, ARedirectIsNotFollowed) {
  const MisbehavingServer there(answer_of(kFetchedPng));
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    const MisbehavingServer here(message("HTTP/1.1 ", status, "\r\nLocation: ", there.url(),
                                         "\r\nContent-Length: ", kFetchedPng.size(), "\r\n\r\n",
                                         kFetchedPng));
    NetOptions options = options_for(here.host() + ", " + there.host());
    EXPECT_EQ(code_of(fetch_image(here.url(), options, Clock::now() + 5s)), "image_fetch_failed") << status;
    EXPECT_EQ(here.connections(), 1);
  }
  EXPECT_EQ(there.connections(), 0);
}

TEST(RemoteImage, WhatIsNoImageIsNotToldOf) {
  for (const std::string& answer : std::vector<std::string>{
           answer_of("<html>secret</html>"), answer_of(""), ""s, "nonsense"s, "HTTP/1.1 200 OK\r\n\r\n"s,
           "HTTP/1.1 404 Not Found\r\nContent-Length: 26\r\n\r\n" + kFetchedPng,
           answer_of(kFetchedPng, "Content-Encoding: gzip\r\n"),
           "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + kFetchedPng,
           "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + kFetchedPng,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
           "HTTP/1.1 100 Continue\r\n\r\n" + answer_of(kFetchedPng),
           "HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n" + kFetchedPng}) {
    const MisbehavingServer server(answer);
    const auto result = fetched(server);
    EXPECT_EQ(code_of(result), "image_fetch_failed") << answer.substr(0, 60);
    EXPECT_EQ(std::get<ApiError>(result).message.find("secret"), std::string::npos);
  }
}

TEST(RemoteImage, ItsBytesAreLimited) {
  const std::string large = kFetchedPng + std::string(5000, 'x');
  const MisbehavingServer claims(answer_of(large));
  EXPECT_EQ(code_of(fetched(claims)), "image_too_large");
  const MisbehavingServer huge("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n" +
                               kFetchedPng);
  EXPECT_NE(code_of(fetched(huge)), "an image");
  const MisbehavingServer chunks("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n" +
                                 large.substr(0, 5001));
  EXPECT_EQ(code_of(fetched(chunks)), "image_too_large");
  const MisbehavingServer endless([](int connection, const std::string&) {
    std::string bytes = "HTTP/1.0 200 OK\r\n\r\n" + kFetchedPng;
    while (send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) bytes.assign(4096, 'x');
  });
  EXPECT_EQ(code_of(fetched(endless)), "image_too_large");
  // The frames of the bytes are limited too: a chunk's extension without end, and small chunks with long
  // ones.
  for (const std::string& chunk :
       {"5;"s + std::string(4000, 'a'), "1;" + std::string(4000, 'a') + "\r\nx\r\n"}) {
    int64_t taken = 0;
    const MisbehavingServer frames([&](int connection, const std::string&) {
      std::string bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      while (send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0)
        bytes = chunk.starts_with('1') ? chunk : bytes.starts_with('H') ? chunk : std::string(4000, 'a');
    });
    const auto count = [&](int64_t bytes) { return (taken += bytes) > 0; };
    const auto result = fetch_image(frames.url(), options_for(frames.host()), Clock::now() + 20s, {count});
    EXPECT_EQ(code_of(result), "image_fetch_failed");
    EXPECT_EQ(taken, 1 << 20);
  }
}

TEST(RemoteImage, RoomIsTakenForBytesThatCame) {
  const MisbehavingServer server(answer_of(kFetchedPng));
  const auto full = [](int64_t) { return false; };
  const auto refused = fetch_image(server.url(), options_for(server.host()), Clock::now() + 5s, {full});
  EXPECT_EQ(std::get<ApiError>(refused).status, 503);
  const MisbehavingServer silent("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n");
  int64_t taken = 0;
  const auto count = [&](int64_t bytes) { return (taken += bytes) > 0; };
  fetch_image(silent.url(), options_for(silent.host()), Clock::now() + 5s, {count});
  EXPECT_EQ(taken, 1 << 20);  // for the header
}

TEST(RemoteImage, ItsTimeIsLimited) {
  const auto drips = [](const std::string& bytes) {
    return [bytes](int connection, const std::string&) {
      for (int i = 0; i < 20; ++i) {
        if (!bytes.empty() && send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) <= 0) return;
        std::this_thread::sleep_for(10ms);
      }
    };
  };
  for (const std::string& bytes : {""s, "H"s, "HTTP/1.1 200 OK\r\nX: y\r\n"s}) {
    const MisbehavingServer server(drips(bytes));
    const TimePoint began = Clock::now();
    EXPECT_EQ(code_of(fetched(server, "/", 100ms)), "image_fetch_failed");
    EXPECT_LT(seconds(Clock::now() - began),
              5);  // the server drips on for 0.2 s, on a machine that may be busy
  }
}

TEST(RemoteImage, OpeningAndReadingHaveTimesOfTheirOwn) {
  const MisbehavingServer server([](int connection, const std::string&) {
    std::this_thread::sleep_for(400ms);
    send(connection, "late", 4, MSG_NOSIGNAL);
  });
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(server.port())));
  const auto open = [&](const std::string& tls_host, Duration open_for) {
    const TimePoint now = Clock::now();
    return open_image_stream(reinterpret_cast<const sockaddr&>(address), sizeof(address), tls_host,
                             {.open_by = now + open_for, .deadline = now + 60s});
  };
  const TimePoint began = Clock::now();
  const int silent = socket(AF_INET, SOCK_STREAM, 0);  // accepts, and never shakes hands
  const in_port_t answers = std::exchange(address.sin_port, 0);
  socklen_t length = sizeof(address);
  bind(silent, reinterpret_cast<const sockaddr*>(&address), length);
  listen(silent, 8);
  getsockname(silent, reinterpret_cast<sockaddr*>(&address), &length);
  EXPECT_EQ(open("localhost", 100ms), nullptr);
  EXPECT_LT(seconds(Clock::now() - began), 30);
  close(silent);
  address.sin_port = answers;
  const auto stream = open("", 300ms);
  ASSERT_NE(stream, nullptr);
  char bytes[8];
  EXPECT_TRUE(stream->write("x"));
  EXPECT_EQ(stream->read(bytes), 4);
}

TEST(RemoteImage, AServersStopEndsItsFetches) {
  const MisbehavingServer server([&](int, const std::string&) {
    while (!server.stopped()) std::this_thread::sleep_for(1ms);
  });
  NetOptions options = options_for(server.host());
  options.port = 0;
  options.image_timeout_s = 60;
  FakeEngine engine;
  HttpServer asked(options);
  asked.start(engine);
  RawClient client(asked.port());
  client.send(post("/v1/chat/completions", body_with(server.url())));
  while (server.connections() == 0) std::this_thread::sleep_for(1ms);
  const TimePoint began = Clock::now();
  asked.stop();
  EXPECT_LT(seconds(Clock::now() - began), 30);
}

// Serves images that never come, and counts the fetches that were given up.
class SilentImages {
 public:
  std::string url() const { return server_.url(); }
  const std::string& port() const { return server_.port(); }
  int asked() const { return server_.connections(); }
  int given_up() const { return given_up_; }

 private:
  std::atomic<int> given_up_ = 0;
  MisbehavingServer server_{[this](int connection, const std::string&) {
    std::string came;  // the request is still to be read: it was looked at alone
    for (char bytes[4096]; came.find("\r\n\r\n") == std::string::npos;) {
      const ssize_t got = recv(connection, bytes, sizeof(bytes), 0);
      if (got <= 0) break;
      came.append(bytes, static_cast<size_t>(got));
    }
    pollfd ends{connection, POLLIN, 0};
    while (!server_.stopped() && poll(&ends, 1, 10) == 0) {
    }
    if (!server_.stopped()) ++given_up_;
  }};
};

template <class Holds>
bool comes_true(const Holds& holds) {
  for (const TimePoint latest = Clock::now() + 30s; !holds() && Clock::now() < latest;) {
    std::this_thread::sleep_for(1ms);
  }
  return holds();
}

TEST(RemoteImage, AClientThatLeavesEndsItsFetch) {
  SilentImages images;
  const MisbehavingServer other(answer_of(kFetchedPng));
  NetOptions options = options_for("127.0.0.1:" + images.port() + "," + other.host());
  options.port = 0;
  options.image_timeout_s = 600;
  FakeEngine engine;
  HttpServer server(options);
  server.start(engine);
  const std::string chat = post("/v1/chat/completions", body_with(images.url()));
  {
    RawClient closes(server.port());
    closes.send(chat);
    ASSERT_TRUE(comes_true([&] { return images.asked() == 1; }));
  }
  EXPECT_TRUE(comes_true([&] { return images.given_up() == 1; }));
  {
    // A reset tells it at once, also behind a part of a next request.
    RawClient resets(server.port());
    resets.send(chat + "GET /hea");
    ASSERT_TRUE(comes_true([&] { return images.asked() == 2; }));
    const linger at_once{1, 0};
    setsockopt(resets.descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  EXPECT_TRUE(comes_true([&] { return images.given_up() == 2; }));
  RawClient stays(server.port());
  stays.send(post("/v1/chat/completions", body_with(other.url())));  // one thread fetches, and it is free
  EXPECT_EQ(stays.read_response().status, 200);
  EXPECT_EQ(engine.seen().size(), 1u);
  EXPECT_TRUE(comes_true([&] {
    stays.send(get("/metrics"));
    return stays.read_response().body.find("uhd_http_disconnected_clients_total 2") != std::string::npos;
  }));
}

TEST(RemoteImage, AHalfClosedClientGetsItsImageFetched) {
  std::atomic<bool> probed = false;
  const MisbehavingServer images([&](int connection, const std::string&) {
    while (!probed) std::this_thread::sleep_for(1ms);
    const std::string answer = answer_of(kFetchedPng);
    EXPECT_GT(send(connection, answer.data(), answer.size(), MSG_NOSIGNAL), 0);
  });
  NetOptions options = options_for(images.host());
  options.port = 0;
  options.image_timeout_s = 60;
  FakeEngine engine;
  HttpServer server(options);
  server.start(engine);
  RawClient client(server.port());
  client.send(post("/v1/chat/completions", body_with(images.url())));
  client.end_sending();
  EXPECT_NE(client.read_until("\r\n\r\n").find("100 Continue"), std::string::npos) << "is it still there?";
  probed = true;
  EXPECT_NE(client.read_until("HTTP/1.1 200 OK").find("200 OK"), std::string::npos)
      << "behind any number of 100s";
}

TEST(RemoteImage, ARequestThatComesDuringAFetchIsAnswered) {
  std::atomic<bool> sent = false;
  const MisbehavingServer images([&](int connection, const std::string&) {
    while (!sent) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    const std::string answer = answer_of(kFetchedPng);
    EXPECT_GT(send(connection, answer.data(), answer.size(), MSG_NOSIGNAL), 0);
  });
  NetOptions options = options_for(images.host());
  options.port = 0;
  options.image_timeout_s = 60;
  FakeEngine engine;
  HttpServer server(options);
  server.start(engine);
  RawClient client(server.port());
  client.send(post("/v1/chat/completions", body_with(images.url())));
  ASSERT_TRUE(comes_true([&] { return images.connections() == 1; }));
  client.send(get("/health"));
  sent = true;
  EXPECT_EQ(client.read_response().status, 200);
  const auto next = client.read_response();
  EXPECT_EQ(next.status, 200);
  EXPECT_NE(next.body.find("status"), std::string::npos);
}

TEST(RemoteImage, FetchesLeaveAThreadForOthers) {
  std::atomic<bool> asked = false, answered = false;
  const MisbehavingServer slow([&](int connection, const std::string&) {
    asked = true;
    while (!answered) std::this_thread::sleep_for(1ms);
    const std::string answer = answer_of(kFetchedPng);
    EXPECT_GT(send(connection, answer.data(), answer.size(), MSG_NOSIGNAL), 0);
  });
  std::thread first([&] { EXPECT_EQ(code_of(fetched(slow, "/", 60s)), "an image"); });
  while (!asked) std::this_thread::sleep_for(1ms);
  const MisbehavingServer other(answer_of(kFetchedPng));
  const auto refused = fetched(other);  // the first holds one of two threads
  EXPECT_EQ(code_of(refused), "overloaded");
  EXPECT_EQ(other.connections(), 0);
  answered = true;
  first.join();
  EXPECT_EQ(code_of(fetched(other)), "an image");
}

TEST(RemoteImage, ProxiesOfTheEnvironmentAreIgnored) {
  const MisbehavingServer proxy(answer_of("\xff\xd8\xff of the proxy")), server(answer_of(kFetchedPng));
  for (const char* name : {"http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"})
    setenv(name, proxy.url("").c_str(), 1);
  EXPECT_EQ(code_of(fetched(server)), "an image");
  for (const char* name : {"http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"})
    unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
}

TEST(RemoteImage, ACallFetchesAUrlOnce) {
  const MisbehavingServer server(answer_of(kFetchedPng));
  const ModelInfo model{"fake", "llava-uhd-v1", true, 2048, 1000};
  const auto call = parse_call(Endpoint::chat, body_with(server.url()), model, options_for(server.host()));
  ASSERT_TRUE(std::holds_alternative<Call>(call)) << std::get<ApiError>(call).message;
  EXPECT_EQ(*std::get<Call>(call).requests[0].messages[0].parts[1].image, kFetchedPng);
  EXPECT_EQ(server.connections(), 1);
  const auto refused =
      parse_call(Endpoint::chat, body_with("http://other/"), model, options_for(server.host()));
  EXPECT_EQ(std::get<ApiError>(refused).param, "messages[0].content[0].image_url.url");
  const auto off = parse_call(Endpoint::chat, body_with(server.url()), model, NetOptions{});
  EXPECT_EQ(std::get<ApiError>(off).code, "invalid_image_url");
  EXPECT_EQ(server.connections(), 1);
}

// A key and a certificate for "localhost" that it signed itself, as PEM.
struct Identity {
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key{EVP_RSA_gen(2048), EVP_PKEY_free};
  std::unique_ptr<X509, void (*)(X509*)> certificate{X509_new(), X509_free};

  Identity() {
    X509* x = certificate.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(x, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(x, key.get(), EVP_sha256());
  }
  std::filesystem::path write(const TemporaryDirectory& directory) const {
    const auto path = directory.path() / "certificate.pem";
    FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate.get());
    std::fclose(file);
    return path;
  }
};

TEST(RemoteImage, TlsNeedsACertificateThatIsTrustedAndNamesTheHost) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program has it
  const Identity identity;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_use_certificate(context.get(), identity.certificate.get());
  SSL_CTX_use_PrivateKey(context.get(), identity.key.get());
  std::atomic<int> read = 0;
  const MisbehavingServer server([&](int connection, const std::string&) {
    const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), connection);
    char bytes[4096];
    if (SSL_accept(tls.get()) != 1 || SSL_read(tls.get(), bytes, sizeof(bytes)) <= 0) return;
    ++read;
    const std::string answer = answer_of(kFetchedPng);
    SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
    SSL_shutdown(tls.get());
  });
  const auto code = [&](const std::string& name) {
    const std::string host = name + ":" + server.port();
    return code_of(fetch_image("https://" + host + "/a.png", options_for(host), Clock::now() + 20s));
  };
  EXPECT_EQ(code("localhost"), "image_fetch_failed");  // nobody trusts it
  const TemporaryDirectory directory;
  setenv("SSL_CERT_FILE", identity.write(directory).c_str(), 1);
  EXPECT_EQ(code("localhost"), "an image");
  EXPECT_EQ(code("127.0.0.1"), "image_fetch_failed");  // it names another
  unsetenv("SSL_CERT_FILE");
  EXPECT_EQ(read, 1);  // nothing was asked of a server that had not proved itself
}

TEST(RemoteUrl, HasOneReading) {
  const auto plain = parse_remote_url("HTTP://Example.ORG");
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, (RemoteUrl{false, "example.org", "80", "/", "example.org"}));
  EXPECT_EQ(*parse_remote_url("https://a.b:8443/x?y"), (RemoteUrl{true, "a.b", "8443", "/x?y", "a.b:8443"}));
  EXPECT_EQ(*parse_remote_url("https://[2001:DB8::1]/"),
            (RemoteUrl{true, "2001:db8::1", "443", "/", "[2001:db8::1]"}));
  for (const std::string& url : {"http://"s,
                                 "http:///a"s,
                                 "http:a"s,
                                 "http://user@host/"s,
                                 "http://a:b@host/"s,
                                 "http://host\\@evil/"s,
                                 "http://host/\r\nX: y"s,
                                 "http://ho st/"s,
                                 "http://h%6fst/"s,
                                 "http://host:0/"s,
                                 "http://host:99999/"s,
                                 "http://host:80:80/"s,
                                 "http://host:80+path"s,
                                 "http://[::1/"s,
                                 "http://[fe80::1%25eth0]/"s,
                                 "http://h\xc3\xb6st/"s,
                                 "ftp://host/"s,
                                 "http://host/" + std::string(9000, 'a'),
                                 "http://ho_st/"s,
                                 "http://host/\t"s,
                                 "http://\0host/"s + '\0'}) {
    EXPECT_FALSE(parse_remote_url(url)) << url.substr(0, 60);
  }
}

TEST(RemoteUrl, HostsAreComparedWholeAndWithTheirPort) {
  const auto allowed = [](const std::string& url, const std::string& hosts) {
    return is_allowed_host(*parse_remote_url(url), hosts);
  };
  EXPECT_TRUE(allowed("http://a.org/", "b.org, A.org"));
  EXPECT_TRUE(allowed("https://a.org:443/", "a.org"));
  EXPECT_TRUE(allowed("http://a.org:81/", "a.org:81"));
  EXPECT_TRUE(allowed("http://[::1]:81/", "[::1]:81"));
  for (const char* url : {"http://a.org:81/", "https://a.org:80/", "http://b.a.org/", "http://a.org.evil/",
                          "http://a.org./", "http://xa.org/", "http://org/"}) {
    EXPECT_FALSE(allowed(url, "a.org,,")) << url;
  }
  EXPECT_FALSE(allowed("http://a.org/", ""));
}

TEST(RemoteUrl, AListOfHostsHoldsHostsAlone) {
  check_image_hosts("");
  check_image_hosts(" images.example , IMAGES.example:8080,10.0.0.1,[::1]:443,");
  for (const char* wrong : {"*", "http://x", "a b", "x/y", "x:", "a,*.b", "x:99999", "u@x"}) {
    EXPECT_THROW(check_image_hosts(wrong), Error) << wrong;
  }
}

TEST(PublicAddress, IsNoneOfASpecialUse) {
  const auto is_public = [](const char* text) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      return is_public_address(reinterpret_cast<const sockaddr&>(v4));
    }
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    v6.sin6_family = AF_INET6;
    return is_public_address(reinterpret_cast<const sockaddr&>(v6));
  };
  for (const char* text :
       {"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1",
        "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.1.2.3",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.8",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::8.8.8.8",
                           "64:ff9b::7f00:1",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:10::1",
                           "2001:db8::1",
                           "2002:7f00:1::",
                           "3fff::1",
                           "5f00::1",
                           "fc00::1",
                           "fd12::1",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

}  // namespace
}  // namespace uhd
