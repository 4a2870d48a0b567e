// Frames server-sent events.
#pragma once

#include <string>
#include <string_view>

namespace uhd {

inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

// Returns one event with one line of data; JSON text has no raw line breaks.
inline std::string sse_event(std::string_view data) {
  std::string frame;
  frame.reserve(data.size() + 8);
  frame.append("data: ").append(data).append("\n\n");
  return frame;
}

}  // namespace uhd
