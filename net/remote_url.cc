#include "net/remote_url.h"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>

#include "base/ascii.h"
#include "base/error.h"

namespace uhd {
namespace {

constexpr size_t kLongest = 8 << 10;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

// Returns an empty text for a host of another form.
std::string host_of(const boost::urls::url_view& url) {
  using boost::urls::host_type;
  if (url.host_type() == host_type::ipv6)
    return lower_ascii(std::string(url.host_ipv6_address().to_string()));
  if (url.host_type() != host_type::name && url.host_type() != host_type::ipv4) return "";
  std::string host = lower_ascii(std::string(url.encoded_host()));
  if (!std::ranges::all_of(host, is_name_character)) host.clear();  // escapes among them
  return host;
}

// Returns the number in plain digits; empty: it is none of a port.
std::string port_in(std::string_view digits) {
  uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [rest, failed] = std::from_chars(digits.data(), end, port);
  return failed == std::errc() && rest == end && port > 0 ? std::to_string(port) : "";
}

}  // namespace

bool is_remote_url(std::string_view url) {
  const std::string begin = lower_ascii(url.substr(0, 8));
  return begin.starts_with("http://") || begin.starts_with("https://");
}

std::optional<RemoteUrl> parse_remote_url(std::string_view text) {
  if (text.size() > kLongest || !is_remote_url(text)) return std::nullopt;
  const auto url = boost::urls::parse_uri(text);
  if (!url || url->has_userinfo()) return std::nullopt;
  RemoteUrl out{.tls = lower_ascii(std::string(url->scheme())) == "https", .host = host_of(*url)};
  const bool own_port = !url->has_port();
  out.port = own_port ? (out.tls ? "443" : "80") : port_in(std::string_view(url->port()));
  if (out.host.empty() || out.port.empty()) return std::nullopt;
  out.authority = url->host_type() == boost::urls::host_type::ipv6 ? message("[", out.host, "]") : out.host;
  if (!own_port) out.authority += message(":", out.port);
  out.target = std::string(url->encoded_path());
  if (out.target.empty()) out.target.push_back('/');
  if (!out.target.starts_with('/')) return std::nullopt;  // Boost takes "host:80+path"
  if (url->has_query()) out.target += message("?", std::string_view(url->encoded_query()));
  return out;
}

void check_image_hosts(std::string_view hosts) {
  while (!hosts.empty()) {
    const size_t comma = std::min(hosts.find(','), hosts.size());
    const std::string_view host = trim_ascii(hosts.substr(0, comma));
    const auto url = parse_remote_url(message("https://", host));
    require(host.empty() || (url && url->target == "/" && url->authority == lower_ascii(host)),
            "net.image_hosts: '", host, "' is not the name of a host, or one with a port behind a colon");
    hosts.remove_prefix(std::min(comma + 1, hosts.size()));
  }
}

bool is_allowed_host(const RemoteUrl& url, std::string_view hosts) {
  const bool own_port = url.port == (url.tls ? "443" : "80");
  const std::string bare = url.host.find(':') == std::string::npos ? url.host : message("[", url.host, "]");
  const std::string with_port = message(bare, ":", url.port);
  while (!hosts.empty()) {
    const size_t comma = std::min(hosts.find(','), hosts.size());
    const std::string allowed = lower_ascii(trim_ascii(hosts.substr(0, comma)));
    if (allowed == with_port || (own_port && allowed == bare)) return true;
    hosts.remove_prefix(std::min(comma + 1, hosts.size()));
  }
  return false;
}

}  // namespace uhd
