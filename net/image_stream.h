// A connection to the server of an image, over TCP or TLS, whose every wait has a deadline. Its thread
// blocks.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace uhd {

class ImageStream {
 public:
  virtual ~ImageStream() = default;
  // These return false, or a negative number, on a failure and when the deadline is over.
  virtual bool write(std::string_view bytes) = 0;
  // Returns 0 at the stream's proper end.
  virtual ptrdiff_t read(std::span<char> bytes) = 0;
};

struct StreamLimits {
  TimePoint open_by;          // it is connected by then, and TLS has shaken hands
  TimePoint deadline;         // all that follows is done by then
  std::stop_token stop = {};  // a wait that is told to stop fails soon
};

// A wait that can be told to stop looks this often whether it was.
inline constexpr std::chrono::milliseconds kStopLook{200};

// Connects to exactly this address. With `tls_host`, the server must prove that name (or that address) with a
// certificate of an authority that this system trusts, at TLS 1.2 or later. Returns null on a failure.
std::unique_ptr<ImageStream> open_image_stream(const sockaddr& address, socklen_t length,
                                               const std::string& tls_host, const StreamLimits& limits);

}  // namespace uhd
