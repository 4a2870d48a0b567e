// The bytes of one HTTP request to its parts, a piece at a time. Beast stays in the .cc file.
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

  // How many of the bytes were used. Until the header is done, and then until the body is.
  size_t put_header(std::string_view bytes);
  size_t put_body(std::string_view bytes);
  bool header_done() const;
  bool done() const;  // and so is the body
  const std::optional<ApiError>& error() const { return error_; }

  // Of the header, as far as it was read.
  std::string method() const;
  std::optional<Target> target() const;
  std::map<std::string, std::string> headers() const;  // names in lower case; of several the first
  unsigned version() const;                            // 10 or 11
  bool keep_alive() const;

  // Takes memory for bytes that have come, never for those that a header promises.
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
