#include "net/data_url.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace uhd {
namespace {

constexpr std::array<int8_t, 256> make_base64_table() {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return table;
}
constexpr auto kBase64 = make_base64_table();

bool starts_with_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b);
         });
}

bool is_image_file(std::string_view b) {
  using namespace std::string_view_literals;
  return b.starts_with("\xFF\xD8\xFF"sv) || b.starts_with("\x89PNG\r\n\x1A\n"sv) ||
         (b.size() >= 12 && b.starts_with("RIFF"sv) && b.substr(8, 4) == "WEBP"sv);
}

ApiError bad_url(std::string text) { return {400, std::move(text), "", "invalid_image_url"}; }

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int8_t six = kBase64[static_cast<uint8_t>(c)];
    if (six < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(six);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<char>(bits >> held & 0xFF));
    }
  }
  return bytes;
}

std::variant<std::string, ApiError> decode_image_url(std::string_view url, int64_t max_bytes) {
  if (!starts_with_ignoring_case(url, "data:")) {
    return bad_url(
        "Images are taken as data URLs (data:image/png;base64,...); this server does not fetch other URLs.");
  }
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos) return bad_url("The data URL has no comma before its data.");
  const std::string_view header = url.substr(0, comma);
  std::string_view data = url.substr(comma + 1);
  if (!starts_with_ignoring_case(header.substr(5), "image/")) {
    return bad_url("The data URL's media type must be an image (image/jpeg, image/png or image/webp).");
  }
  if (header.size() < 7 || !starts_with_ignoring_case(header.substr(header.size() - 7), ";base64")) {
    return bad_url("The data URL's data must be base64.");
  }
  if (static_cast<int64_t>(data.size() / 4 * 3) > max_bytes) {
    return ApiError{413, message("The image is larger than the limit of ", max_bytes, " bytes."), "",
                    "image_too_large"};
  }
  std::optional<std::string> bytes = decode_base64(data);
  if (!bytes) return bad_url("The data URL's data is not valid base64.");
  if (!is_image_file(*bytes)) {
    return ApiError{400, "The image is not a JPEG, PNG or WebP file.", "", "unsupported_image"};
  }
  return *std::move(bytes);
}

}  // namespace uhd
