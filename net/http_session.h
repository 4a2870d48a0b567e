// A session serves one connection: it reads a request, has it answered, writes the answer, and repeats. Asio
// stays in the .cc file.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "net/api.h"
#include "net/connections.h"
#include "net/options.h"

namespace boost::asio {
class io_context;
class thread_pool;
namespace ssl {
class context;
}
}  // namespace boost::asio

namespace uhd {

// These threads read bodies: they parse, decode, apply the template and tokenise. A large body waits for
// large ones only, so that small requests are served beside it.
struct IntakeThreads {
  boost::asio::thread_pool& small;
  boost::asio::thread_pool& large;
};

// The sessions of a server share a context, which outlives them.
struct SessionContext {
  Api& api;
  const NetOptions& options;
  IntakeThreads intake;
  std::atomic<int> answering{0};  // the requests between their header and the end of their answer
  std::atomic<bool> draining{false};
};

// An AcceptedConnection has no session yet.
struct AcceptedConnection {
  int socket = -1;
  int family = 0;                                  // AF_INET, AF_INET6 or AF_UNIX
  std::string client;                              // its address; for IPv6 its network
  std::shared_ptr<boost::asio::ssl::context> tls;  // null: none is spoken
  std::unique_ptr<Connections::Place> place;
};

// A session is thread-safe. It lives until its connection ends, whoever holds this handle.
class HttpSession {
 public:
  virtual ~HttpSession() = default;
  virtual void close_when_idle() = 0;  // closes at once between two requests, else after the answer
  virtual void close() = 0;            // closes now, and cancels a running completion
  virtual void give_way() = 0;  // closes now if the client has kept the server waiting; see Connections
};

// Serves a connection on the threads of `io`, and calls `ended` once, at the connection's end, on one of
// them. `io` is shared because the engine's thread may let go of a channel after the server has stopped.
std::shared_ptr<HttpSession> start_session(const std::shared_ptr<boost::asio::io_context>& io,
                                           AcceptedConnection connection, SessionContext& context,
                                           std::function<void()> ended);

}  // namespace uhd
