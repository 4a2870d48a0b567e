// Says to which trace of a client a request belongs, as W3C's Trace Context has it.
#pragma once

#include <string>

namespace uhd {

struct TraceContext {
  std::string id;        // 32 hexadecimal digits; empty: the client named none
  std::string parent;    // 16: the client's span that the request belongs to
  bool sampled = false;  // the client records this trace
};

}  // namespace uhd
