// Errors: one exception type, and one check that says where it failed.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace uhd {

// What went wrong, in words for the person who can mend it. Thrown for what cannot start (config, checkpoint,
// topology) and for broken invariants; the fault of one request is a value, never an exception across
// threads.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// message("a ", 3) == "a 3"
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// check(x > 0, "x is ", x): throws Error with the parts, and file and line, unless the condition holds.
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

// require(...): as check, without the place in the source: for errors whose reader is the user, not the
// developer.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]] {
    throw Error(message(parts...));
  }
}

}  // namespace uhd
