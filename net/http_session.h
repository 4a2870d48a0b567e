// One connection: reads a request, has it answered, writes the answer, and again. Free of Asio, which stays
// in the .cc file.
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
}  // namespace boost::asio

namespace uhd {

// Threads that read bodies: parse, decode, apply the template, tokenise. A large body waits for another one
// only, so that small requests are served beside it.
struct IntakeThreads {
  boost::asio::thread_pool& small;
  boost::asio::thread_pool& large;
};

// What the sessions of a server share; outlives them.
struct SessionContext {
  Api& api;
  const NetOptions& options;
  IntakeThreads intake;
  std::atomic<int> answering{0};  // requests between their header and the end of their answer
  std::atomic<bool> draining{false};
};

// An accepted connection.
struct Connection {
  int socket = -1;
  bool v6 = false;
  std::string client;  // its address; of IPv6 its network
  std::unique_ptr<Connections::Place> place;
};

// Thread-safe. The session lives until its connection ends, whoever holds this handle.
class HttpSession {
 public:
  virtual ~HttpSession() = default;
  virtual void close_when_idle() = 0;  // at once between two requests, else after the answer
  virtual void close() = 0;            // now; a running completion is cancelled
  virtual void give_way() = 0;         // now, if the client has kept the server waiting; see Connections
};

// Serves a connection on the threads of `io`; `ended` is called once, at its end, on one of them. `io` is
// shared because a channel may be let go by the engine's thread after the server has stopped.
std::shared_ptr<HttpSession> start_session(const std::shared_ptr<boost::asio::io_context>& io,
                                           Connection connection, SessionContext& context,
                                           std::function<void()> ended);

}  // namespace uhd
