#include "net/http_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "net/http_session.h"

namespace uhd {

namespace asio = boost::asio;
using asio::ip::tcp;

struct HttpServer::Impl {
  explicit Impl(const NetOptions& net) : options(net), acceptor(asio::make_strand(*io)) {}

  void listen();
  asio::awaitable<void> accept();
  void admit(tcp::socket socket);
  void for_each_session(void (HttpSession::*call)());

  const NetOptions options;
  const std::shared_ptr<asio::io_context> io = std::make_shared<asio::io_context>();
  tcp::acceptor acceptor;  // on a strand: stop() closes it while another thread may accept
  std::unique_ptr<Api> api;
  std::unique_ptr<SessionContext> context;
  std::vector<std::thread> threads;

  std::mutex mutex;  // of what follows
  std::map<uint64_t, std::weak_ptr<HttpSession>> sessions;
  uint64_t next_session = 0;
  bool stopping = false;
};

void HttpServer::Impl::listen() {
  boost::system::error_code failed;
  tcp::resolver resolver(*io);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, failed);
  require(!failed && !found.empty(), "net.host: cannot find the address '", options.host, "'");
  const tcp::endpoint endpoint = found.begin()->endpoint();
  const auto attempt = [&](auto step) {
    if (!failed) step();
  };
  attempt([&] { acceptor.open(endpoint.protocol(), failed); });
  attempt([&] { acceptor.set_option(tcp::acceptor::reuse_address(true), failed); });
  attempt([&] { acceptor.bind(endpoint, failed); });
  attempt([&] { acceptor.listen(tcp::acceptor::max_listen_connections, failed); });
  if (failed == asio::error::address_in_use) {
    throw Error(message("port ", options.port, " of ", options.host,
                        " is in use by another program; choose another one with --net.port=N"));
  }
  require(!failed, "cannot listen on ", options.host, ":", options.port, ": ", failed.message());
}

asio::awaitable<void> HttpServer::Impl::accept() {
  while (acceptor.is_open()) {
    auto accepted = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
    if (std::get<0>(accepted) == asio::error::operation_aborted) co_return;
    if (std::get<0>(accepted)) {  // out of descriptors, most likely: others must end first
      log_warning("cannot accept a connection", "why", std::get<0>(accepted).message());
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

void HttpServer::Impl::admit(tcp::socket socket) {
  HttpMetrics& metrics = api->metrics();
  if (metrics.connections >= options.max_connections) {
    ++metrics.refused_connections;
    static constexpr std::string_view kFull =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: "
        "close\r\n\r\n";
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kFull), ignored);
    return;
  }
  boost::system::error_code failed;
  const bool v6 = socket.local_endpoint(failed).protocol() == tcp::v6();
  const int native = failed ? -1 : socket.release(failed);
  if (failed) return;
  ++metrics.connections;
  std::lock_guard lock(mutex);
  const uint64_t number = next_session++;
  const auto session = start_session(io, native, v6, *context, [this, number] {
    --api->metrics().connections;
    std::lock_guard again(mutex);
    sessions.erase(number);
  });
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
  impl_->listen();
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::start(Engine& engine) {
  impl_->api = std::make_unique<Api>(engine, impl_->options);
  impl_->context.reset(new SessionContext{*impl_->api, impl_->options});
  asio::co_spawn(
      impl_->acceptor.get_executor(), [this] { return impl_->accept(); }, asio::detached);
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

int HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

std::string HttpServer::url() const {
  const tcp::endpoint at = impl_->acceptor.local_endpoint();
  const std::string host =
      at.address().is_v6() ? "[" + at.address().to_string() + "]" : at.address().to_string();
  return message("http://", host, ":", at.port());
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
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  asio::post(impl_->acceptor.get_executor(), [this] { impl_->acceptor.close(); });
  impl_->for_each_session(&HttpSession::close);
  for (std::thread& thread : impl_->threads) thread.join();  // run() returns when every session has ended
  impl_->threads.clear();
}

}  // namespace uhd
