// Splits the bytes of one HTTP request into its parts, a piece at a time. Beast stays in the .cc file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/api_error.h"
#include "net/target.h"

namespace uhd {

class RequestParser {
 public:
  RequestParser(int64_t max_header_bytes, int64_t max_body_bytes);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // These return how many of the bytes were used. The caller gives bytes to put_header until the header is
  // done, and then to put_body until the body is.
  size_t put_header(std::string_view bytes);
  size_t put_body(std::string_view bytes);
  bool header_done() const;
  bool done() const;  // true once the body is done too
  const std::optional<ApiError>& error() const { return error_; }

  // These return parts of the header, as far as it was read.
  std::string method() const;
  std::optional<Target> target() const;
  std::map<std::string, std::string> headers() const;  // names in lower case; the first of several
  unsigned version() const;                            // 10 or 11
  bool keep_alive() const;

  // Returns the bytes of the body. Memory is taken for bytes that have come, never for bytes that a header
  // promises.
  int64_t body_bytes() const;
  std::string take_body();

 private:
  struct State;
  size_t put(std::string_view bytes, bool (RequestParser::*enough)() const);

  const int64_t max_header_bytes_;
  const int64_t max_body_bytes_;
  std::unique_ptr<State> state_;
  std::optional<ApiError> error_;
};

}  // namespace uhd
