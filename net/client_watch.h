// Notices that a client leaves while it waits for an answer.
#pragma once

#include <functional>

#include "net/wire.h"

namespace uhd {

class ClientWatch {
 public:
  // A client that closes its connection and one that only ends its side look alike until something is sent.
  // `probe` sends something then; the wire must outlive run().
  ClientWatch(Wire& wire, std::function<void()> probe) : wire_(wire), probe_(std::move(probe)) {}
  ClientWatch(const ClientWatch&) = delete;
  ClientWatch& operator=(const ClientWatch&) = delete;

  // Returns once the client has left. Bytes that come meanwhile belong to its next request and stay unread;
  // behind too many of them nothing is noticed. It runs on the wire's strand, and nothing else reads.
  Task<void> run();
  // Returns true if the client ended its side of the connection: nothing follows this answer.
  bool half_closed() const { return half_closed_; }

 private:
  Task<void> watch_half_closed();
  Task<void> rest(double seconds) const;

  Wire& wire_;
  const std::function<void()> probe_;
  bool half_closed_ = false;
};

// Sends an interim answer, which every client must skip; HTTP/1.0 knows none. It is a probe before the answer
// has begun, while no write is under way.
void send_interim(Wire& wire);

}  // namespace uhd
