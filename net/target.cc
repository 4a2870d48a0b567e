#include "net/target.h"

#include <boost/url/decode_view.hpp>

#include "base/ascii.h"

namespace uhd {
namespace {

std::optional<std::string> percent_decoded(std::string_view path) {
  const auto encoded = boost::urls::make_pct_string_view(path);
  if (!encoded) return std::nullopt;
  std::string plain;
  for (const char c : *(*encoded)) plain.push_back(c);
  return plain;
}

}  // namespace

std::string plain_path(std::string_view path) {
  std::string plain;
  for (const char c : path) {
    if (c != '/' || !plain.ends_with('/')) plain.push_back(c);
  }
  constexpr std::string_view kVersion = "/v1";
  while (plain.starts_with("/v1/v1/")) plain.erase(0, kVersion.size());
  if (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  const bool bare = plain == "/chat/completions" || plain == "/completions" || plain == "/responses" ||
                    plain == "/models" || plain.starts_with("/models/");
  if (bare) plain.insert(0, kVersion);
  return plain;
}

std::optional<Target> parse_target(std::string_view target) {
  if (target == "*") return Target{"*", ""};
  Target out;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!lower_ascii(target.substr(0, scheme.size())).starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    out.authority = target.substr(0, end);
    target.remove_prefix(end);
    if (out.authority.empty()) return std::nullopt;
    if (!target.starts_with('/')) target = "/";
    break;
  }
  if (!target.starts_with('/')) return std::nullopt;
  const auto path = percent_decoded(target.substr(0, target.find_first_of("?#")));
  if (!path) return std::nullopt;
  out.path = plain_path(*path);
  return out;
}

}  // namespace uhd
