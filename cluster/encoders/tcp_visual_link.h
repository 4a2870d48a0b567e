// Sends rows over a TCP connection of their own, between any two processes or threads of one process.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cluster/frame.h"
#include "cluster/visual_link.h"

namespace uhd {

// A LinkPort holds the state that a link and the network's thread share, for as long as either needs it. It
// is thread-safe.
class LinkPort {
 public:
  using Send = std::function<void(std::vector<std::byte> frame)>;

  // The network's thread calls this. `send` may be empty at the receiving end.
  void open(Send send);
  // Serves as Connection::Handler::limit: rows are acceptable while they are awaited, each of the agreed
  // size.
  int64_t limit(FrameType type) const;
  void arrived(std::vector<std::byte> payload);
  // Tells that the connection or the link is gone; `send` is not called after it returns. The first reason
  // stays.
  void fail(const std::string& reason);

  // The link calls this to expect one more frame of rows, behind those it already awaits.
  void expect(size_t payload_bytes);
  void expect_nothing();
  std::optional<std::vector<std::byte>> take();  // returns them in the order of their arrival
  bool send(std::vector<std::byte> frame);
  std::optional<std::string> failure() const;

 private:
  mutable std::mutex mutex_;
  Send send_;
  std::deque<size_t> expected_bytes_;
  std::deque<std::vector<std::byte>> payloads_;  // never more than were expected
  std::optional<std::string> failure_;
};

std::unique_ptr<VisualLink> make_tcp_sender(std::shared_ptr<LinkPort> port);
std::unique_ptr<VisualLink> make_tcp_receiver(std::shared_ptr<LinkPort> port);

}  // namespace uhd
