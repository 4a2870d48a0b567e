// One connection: reads a request, has it answered, writes the answer, and again. Free of Asio, which stays
// in the .cc file.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "net/api.h"
#include "net/options.h"

namespace boost::asio {
class io_context;
}

namespace uhd {

// What the sessions of a server share; outlives them.
struct SessionContext {
  Api& api;
  const NetOptions& options;
  std::atomic<int> answering{0};  // requests between their header and the end of their answer
  std::atomic<bool> draining{false};
};

// Thread-safe. The session lives until its connection ends, whoever holds this handle.
class HttpSession {
 public:
  virtual ~HttpSession() = default;
  virtual void close_when_idle() = 0;  // at once between two requests, else after the answer
  virtual void close() = 0;            // now; a running completion is cancelled
};

// Takes over an accepted socket and serves it on the threads of `io`; `ended` is called once, at its end, on
// one of them. `io` is shared because a channel may be let go by the engine's thread after the server has
// stopped.
std::shared_ptr<HttpSession> start_session(const std::shared_ptr<boost::asio::io_context>& io, int socket,
                                           bool v6, SessionContext& context, std::function<void()> ended);

}  // namespace uhd
