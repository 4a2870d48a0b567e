#include "net/response_head.h"

#include <boost/beast/http/status.hpp>
#include <sstream>

namespace uhd {

std::string response_head(int status, const Framing& framing, const HeaderFields& fields,
                          std::optional<size_t> length) {
  const bool http_1_1 = framing.version >= 11;
  std::ostringstream out;
  out << (http_1_1 ? "HTTP/1.1 " : "HTTP/1.0 ") << status << ' '
      << boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status)) << "\r\n";
  out << "Server: uhd\r\n";
  if (!framing.keep_alive && http_1_1) out << "Connection: close\r\n";
  if (framing.keep_alive && !http_1_1) out << "Connection: keep-alive\r\n";
  for (const auto& [name, value] : fields) out << name << ": " << value << "\r\n";
  if (length) {
    out << "Content-Length: " << *length << "\r\n";
  } else if (http_1_1 && status != 204) {
    out << "Transfer-Encoding: chunked\r\n";
  }
  out << "\r\n";
  return std::move(out).str();
}

}  // namespace uhd
