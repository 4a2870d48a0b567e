// This file defines the one exception type, and the checks that throw it.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace uhd {

// An Error says what went wrong, in words for the person who can mend it. It is thrown for a start that is
// impossible (config, checkpoint, topology) and for broken invariants. The fault of one request is a value,
// and never an exception across threads.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// Joins the parts into one text: message("a ", 3) == "a 3".
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// check(x > 0, "x is ", x) throws an Error with the parts, the file and the line, unless the condition holds.
template <class... Parts>
struct check {
  explicit check(bool condition, const Parts&... parts, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
    if (!condition) [[unlikely]] {
      throw Error(message(parts..., " (", file, ":", line, ")"));
    }
  }
};
template <class... Parts>
check(bool, const Parts&...) -> check<Parts...>;

// require(...) works like check, but leaves out the place in the source. It is for errors whose reader is the
// user and not the developer.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]] {
    throw Error(message(parts...));
  }
}

}  // namespace uhd
