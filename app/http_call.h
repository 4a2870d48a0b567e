// One call to a server over HTTP, on a connection of its own.
#pragma once

#include <string>

#include "app/load_client.h"

namespace uhd {

struct HttpAnswer {
  int status = 0;  // 0: no answer came
  std::string body;
  std::string request_id;
  double retry_after_s = 0;  // seconds that the server asks to wait; 0: it names none
  bool unreachable = false;  // no connection was made, or an engine of this process is dead
  std::string failure;       // the reason why no answer came
};

// Posts JSON to the path, and waits for the whole answer, target.timeout_s at most.
HttpAnswer post_json(const LoadTarget& target, const std::string& path, std::string body);

}  // namespace uhd
