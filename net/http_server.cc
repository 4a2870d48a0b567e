#include "net/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "net/http_session.h"
#include "net/remote_url.h"
#include "net/tls.h"
#include "net/unix_socket.h"

namespace uhd {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;

namespace {

// Limits are by address; of IPv6, where one client has many, by the network of 64 bits.
std::string client_of(const tcp::socket& socket) {
  boost::system::error_code failed;
  const asio::ip::address address = socket.remote_endpoint(failed).address();
  if (failed) return "?";
  if (!address.is_v6()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), uint8_t{0});
  return v6.is_loopback() ? v6.to_string() : asio::ip::address_v6(bytes).to_string();
}

// Limits of a Unix socket are by user.
std::string client_of(Local::socket& socket) { return user_of(socket.native_handle()); }

int family_of(const tcp::socket& socket) {
  boost::system::error_code failed;
  return socket.local_endpoint(failed).protocol().family();
}
int family_of(const Local::socket&) { return AF_UNIX; }

void say_full(auto& socket) {
  static constexpr std::string_view kFull =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(kFull), ignored);
}

}  // namespace

struct HttpServer::Impl {
  explicit Impl(NetOptions net) : options(std::move(net)), connections(options.max_connections) {}

  void listen();
  std::vector<tcp::endpoint> addresses();
  boost::system::error_code listen_at(const tcp::endpoint& endpoint);
  void listen_locally();
  template <class Acceptor>
  asio::awaitable<void> accept(Acceptor& acceptor);
  template <class Accepted>
  void admit(Accepted socket);
  void for_each_session(void (HttpSession::*call)());

  const NetOptions options;
  const std::shared_ptr<asio::io_context> io = std::make_shared<asio::io_context>();
  std::deque<tcp::acceptor> acceptors;  // each on a strand: stop() closes it while another thread may accept
  std::optional<Local::acceptor> local_acceptor;
  std::unique_ptr<UnixSocketFile> local_file;
  std::unique_ptr<TlsIdentity> tls;  // null: plain HTTP
  std::unique_ptr<Api> api;
  Connections connections;
  std::unique_ptr<asio::thread_pool> small_intake;
  std::unique_ptr<asio::thread_pool> large_intake;
  std::unique_ptr<SessionContext> context;
  std::vector<std::thread> threads;

  std::mutex mutex;  // guards the members below
  std::map<uint64_t, std::weak_ptr<HttpSession>> sessions;
  uint64_t next_session = 0;
  bool stopping = false;
};

// Returns every address that the name stands for. localhost is the loopback of both families (RFC 6761),
// whatever the machine's table of hosts says: clients resolve it their own way.
std::vector<tcp::endpoint> HttpServer::Impl::addresses() {
  require(!options.host.empty(), "net.host is empty; name an address, or 0.0.0.0 for all of this machine");
  boost::system::error_code failed;
  tcp::resolver resolver(*io);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, failed);
  require(!failed && !found.empty(), "net.host: cannot find the address '", options.host, "'");
  std::vector<tcp::endpoint> endpoints;
  const auto add = [&](const tcp::endpoint& endpoint) {
    if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end())
      endpoints.push_back(endpoint);
  };
  for (const auto& entry : found) add(entry.endpoint());
  if (options.host == "localhost") {
    const auto port = static_cast<uint16_t>(options.port);
    add({asio::ip::address_v4::loopback(), port});
    add({asio::ip::address_v6::loopback(), port});
  }
  return endpoints;
}

boost::system::error_code HttpServer::Impl::listen_at(const tcp::endpoint& endpoint) {
  boost::system::error_code failed;
  tcp::acceptor acceptor(asio::make_strand(*io));
  const auto attempt = [&](auto step) {
    if (!failed) step();
  };
  attempt([&] { acceptor.open(endpoint.protocol(), failed); });
  attempt([&] { acceptor.set_option(tcp::acceptor::reuse_address(true), failed); });
  if (endpoint.protocol() == tcp::v6()) {  // "::" is every address of both families, unless 0.0.0.0 is served
    const bool both = endpoint.address().is_unspecified() && acceptors.empty();
    attempt([&] { acceptor.set_option(asio::ip::v6_only(!both), failed); });
  }
  attempt([&] { acceptor.bind(endpoint, failed); });
  attempt([&] { acceptor.listen(tcp::acceptor::max_listen_connections, failed); });
  if (!failed) acceptors.push_back(std::move(acceptor));
  return failed;
}

// All addresses get one port. One that the machine lacks (a host without IPv6) is left out while another
// one works.
void HttpServer::Impl::listen() {
  std::vector<tcp::endpoint> endpoints = addresses();
  std::stable_sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) {
    return a.address().is_v4() && !b.address().is_v4();  // the url that is printed: the plain one
  });
  boost::system::error_code last;
  for (tcp::endpoint endpoint : endpoints) {
    if (!acceptors.empty()) endpoint.port(acceptors.front().local_endpoint().port());
    const boost::system::error_code failed = listen_at(endpoint);
    const bool chosen_here = options.port == 0 && !acceptors.empty();  // another address may have it in use
    if (failed == asio::error::address_in_use && !chosen_here) {
      throw Error(message("port ", endpoint.port(), " of ", options.host,
                          " is in use by another program; choose another one with --net.port=N"));
    }
    if (failed) {
      log_warning("an address of net.host is not served", "address", endpoint.address().to_string(), "why",
                  failed.message());
      last = failed;
    }
  }
  if (acceptors.empty() && endpoints.front().address() == asio::ip::address_v6::any()) {
    last = listen_at(tcp::endpoint(tcp::v4(), static_cast<uint16_t>(options.port)));  // no IPv6 here
  }
  require(!acceptors.empty(), "cannot listen on ", options.host, ":", options.port, ": ", last.message());
  if (!options.unix_socket.empty()) listen_locally();
  require(options.tls_certificate.empty() == options.tls_key.empty(),
          "net.tls_certificate and net.tls_key are set together, or not at all");
  if (!options.tls_key.empty()) {
    tls = std::make_unique<TlsIdentity>(options.tls_certificate, options.tls_key);
  }
}

void HttpServer::Impl::listen_locally() {
  local_file = std::make_unique<UnixSocketFile>(options.unix_socket, options.unix_mode);
  local_acceptor.emplace(asio::make_strand(*io), Local(), local_file->release());
}

template <class Acceptor>
asio::awaitable<void> HttpServer::Impl::accept(Acceptor& acceptor) {
  while (acceptor.is_open()) {
    auto accepted = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
    if (std::get<0>(accepted) == asio::error::operation_aborted) co_return;
    if (std::get<0>(accepted)) {  // out of descriptors, most likely: others must end first
      log_warning("cannot accept a connection", "why", std::get<0>(accepted).message());
      connections.make_room();
      asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    try {
      admit(std::move(std::get<1>(accepted)));
    } catch (const std::exception& e) {
      log_error("cannot serve a connection", "why", e.what());
    }
  }
}

// Only those who come over a network speak TLS.
template <class Accepted>
void HttpServer::Impl::admit(Accepted socket) {
  using Link = std::atomic<std::weak_ptr<HttpSession>>;
  const auto link = std::make_shared<Link>();
  AcceptedConnection connection{.client = client_of(socket)};
  connection.place = connections.enter(connection.client, [link] {
    if (const auto session = link->load().lock()) session->give_way();
  });
  connection.family = family_of(socket);
  if (tls != nullptr && connection.family != AF_UNIX) connection.tls = tls->context();
  if (connection.place == nullptr) {
    api->metrics().connection_refused();
    if (connection.tls == nullptr) say_full(socket);
    return;
  }
  boost::system::error_code failed;
  connection.socket = socket.release(failed);
  if (failed) return;
  api->metrics().connected();
  std::lock_guard lock(mutex);
  const uint64_t number = next_session++;
  const auto session = start_session(io, std::move(connection), *context, [this, number] {
    api->metrics().disconnected();
    std::lock_guard again(mutex);
    sessions.erase(number);
  });
  link->store(session);
  sessions[number] = session;
  if (stopping) session->close();
}

void HttpServer::Impl::for_each_session(void (HttpSession::*call)()) {
  std::vector<std::shared_ptr<HttpSession>> open;
  {
    std::lock_guard lock(mutex);
    for (const auto& [number, session] : sessions) {
      if (auto held = session.lock()) open.push_back(std::move(held));
    }
  }
  for (const auto& session : open) (*session.*call)();
}

HttpServer::HttpServer(const NetOptions& options) : impl_(std::make_unique<Impl>(options)) {
  check_image_hosts(options.image_hosts);
  impl_->listen();
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::start(Engine& engine, PlanPrice price) {
  if (impl_->api == nullptr) open([] { return std::string(); });
  impl_->api->serve(engine, std::move(price));
}

void HttpServer::open(std::function<std::string()> loading) {
  impl_->api = std::make_unique<Api>(impl_->options, std::move(loading));
  const auto readers = static_cast<size_t>(impl_->options.intake_threads);
  impl_->small_intake = std::make_unique<asio::thread_pool>(readers);
  impl_->large_intake = std::make_unique<asio::thread_pool>(readers);
  impl_->context.reset(
      new SessionContext{*impl_->api, impl_->options, {*impl_->small_intake, *impl_->large_intake}});
  for (tcp::acceptor& acceptor : impl_->acceptors) {
    asio::co_spawn(
        acceptor.get_executor(), [this, &acceptor] { return impl_->accept(acceptor); }, asio::detached);
  }
  if (auto& local = impl_->local_acceptor) {
    asio::co_spawn(
        local->get_executor(), [this, &local] { return impl_->accept(*local); }, asio::detached);
  }
  for (int i = 0; i < impl_->options.threads; ++i) {
    impl_->threads.emplace_back([io = impl_->io] {
      for (;;) {
        try {
          io->run();
          return;
        } catch (const std::exception& e) {  // one handler's failure is not the server's
          log_error("an I/O handler failed", "why", e.what());
        }
      }
    });
  }
}

int HttpServer::port() const { return impl_->acceptors.front().local_endpoint().port(); }

std::string HttpServer::url() const {
  const tcp::endpoint at = impl_->acceptors.front().local_endpoint();
  const std::string host =
      at.address().is_v6() ? "[" + at.address().to_string() + "]" : at.address().to_string();
  return message(impl_->tls != nullptr ? "https://" : "http://", host, ":", at.port());
}

void HttpServer::reload() {
  const auto renew = [](const char* what, const auto& read) {
    try {
      read();
      log_info("read again", "what", what);
    } catch (const std::exception& e) {
      log_error("cannot be read again: the old one holds", "what", what, "why", e.what());
    }
  };
  if (impl_->tls != nullptr) renew("net.tls_certificate", [&] { impl_->tls->reload(); });
  if (impl_->api != nullptr && !impl_->options.api_keys_file.empty()) {
    renew("net.api_keys_file", [&] { impl_->api->reload_keys(); });
  }
}

void HttpServer::drain() {
  if (impl_->api == nullptr) return;
  impl_->api->drain();
  impl_->context->draining = true;
  impl_->for_each_session(&HttpSession::close_when_idle);
}

bool HttpServer::idle() const { return impl_->context == nullptr || impl_->context->answering == 0; }

void HttpServer::stop() {
  if (impl_->threads.empty()) return;
  // The calls that are posted below must run even if the last session ends meanwhile: left in the io_context,
  // one would hold a session, which holds the io_context.
  auto posting = asio::make_work_guard(*impl_->io);
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  for (tcp::acceptor& acceptor : impl_->acceptors) {
    asio::post(acceptor.get_executor(), [&acceptor] { acceptor.close(); });
  }
  if (auto& local = impl_->local_acceptor) {
    asio::post(local->get_executor(), [&local] { local->close(); });
  }
  impl_->for_each_session(&HttpSession::close);
  posting.reset();
  for (std::thread& thread : impl_->threads) thread.join();  // run() returns when every session has ended
  impl_->threads.clear();
  impl_->small_intake->join();
  impl_->large_intake->join();
}

}  // namespace uhd
