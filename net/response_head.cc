#include "net/response_head.h"

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <sstream>

namespace uhd {
namespace {

// RFC 9110 asks for it of who has a clock. The program keeps the locale "C", whose names these are.
std::string http_date(std::time_t now) {
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

std::string response_head(int status, const Framing& framing, const HeaderFields& fields,
                          std::optional<size_t> length) {
  const bool http_1_1 = framing.version >= 11;
  std::ostringstream out;
  out << (http_1_1 ? "HTTP/1.1 " : "HTTP/1.0 ") << status << ' '
      << boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status)) << "\r\n";
  out << "Date: " << http_date(std::time(nullptr)) << "\r\nServer: uhd\r\n";
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
