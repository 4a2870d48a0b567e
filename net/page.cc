#include "net/page.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <memory>
#include <optional>

#include "base/log.h"
#include "net/api_error.h"
#include "net/page_files.h"
#include "net/quoted.h"

namespace uhd {
namespace {

constexpr std::string_view kFolder = "/page/";
constexpr std::string_view kSamples = "/page/samples/";
constexpr uintmax_t kMaxSampleBytes = 4 << 20;

// A sample is a picture in memory, so that no path of a request ever reaches the file system.
struct Sample {
  std::string name;
  std::string bytes;
};

struct Samples {
  std::string json = R"({"about":"","samples":[]})";
  std::optional<Sample> picture;
};

std::string_view type_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".webp", "image/webp"}};
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

// The page loads nothing from elsewhere, and nobody else may show it in a frame.
HttpResponse file(std::string_view name, std::string body) {
  return {.body = std::move(body),
          .content_type = std::string(type_of(name)),
          .headers = {{"Content-Security-Policy",
                       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                       "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}}};
}

HttpResponse nothing_at(std::string_view path) {
  return error_response({404, "There is nothing at '" + quoted(path) + "'.", "", "not_found"});
}

std::optional<std::string> read_small(const std::filesystem::path& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > kMaxSampleBytes) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) return std::nullopt;
  return bytes;
}

std::string text_of(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

Samples read_samples(const std::filesystem::path& folder) {
  const auto text = read_small(folder / "demo.json");
  if (!text) return {};
  boost::system::error_code error;
  const boost::json::value demo = boost::json::parse(*text, error);
  if (error || !demo.is_object()) return {};
  const std::string name = text_of(demo.get_object(), "image");
  const std::string question = text_of(demo.get_object(), "question");
  if (name.empty() || name != std::filesystem::path(name).filename()) return {};
  auto bytes = read_small(folder / name);
  if (!bytes) return {};
  const boost::json::object list{
      {"about", text_of(demo.get_object(), "about")},
      {"samples", boost::json::array{boost::json::object{{"image", name}, {"question", question}}}}};
  return {boost::json::serialize(list), Sample{name, std::move(*bytes)}};
}

HttpResponse page_file(std::string_view name) {
  const auto files = page_files();
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const EmbeddedFile& f) { return f.name == name; });
  if (found == files.end()) return nothing_at(std::string(kFolder) + std::string(name));
  return file(name, std::string(found->content));
}

}  // namespace

bool is_page(std::string_view path) { return path == "/" || path.starts_with(kFolder); }

void add_page(Router& router, const std::filesystem::path& samples) {
  const auto known = std::make_shared<const Samples>(read_samples(samples));
  router.add("GET", "/", [](const HttpRequest&) { return page_file("index.html"); });
  router.add("GET", std::string(kSamples), [known](const HttpRequest& request) {
    const std::string_view name = std::string_view(request.path).substr(kSamples.size());
    if (!known->picture || known->picture->name != name) return nothing_at(request.path);
    return file(name, known->picture->bytes);
  });
  router.add("GET", "/page/samples.json",
             [known](const HttpRequest&) { return file("samples.json", known->json); });
  router.add("GET", std::string(kFolder), [](const HttpRequest& request) {
    return page_file(std::string_view(request.path).substr(kFolder.size()));
  });
}

}  // namespace uhd
