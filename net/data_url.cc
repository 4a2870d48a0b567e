#include "net/data_url.h"

#include <array>

#include "base/ascii.h"
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
  table['-'] = table['+'];  // the alphabet of URLs
  table['_'] = table['/'];
  return table;
}
constexpr auto kBase64 = make_base64_table();

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = lower_ascii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The characters of the data of a URL: escapes decoded, whitespace left out.
class DataCharacters {
 public:
  explicit DataCharacters(std::string_view text) : text_(text) {}
  // Returns false at the end.
  bool next(char& c) {
    while (at_ < text_.size()) {
      c = text_[at_++];
      if (c == '%' && at_ + 1 < text_.size()) c = unescaped(c);
      if (!is_space_ascii(c)) return true;
    }
    return false;
  }

 private:
  char unescaped(char percent) {
    const int high = hex_digit(text_[at_]);
    const int low = hex_digit(text_[at_ + 1]);
    if (high < 0 || low < 0) return percent;
    at_ += 2;
    return static_cast<char>(high << 4 | low);
  }

  std::string_view text_;
  size_t at_ = 0;
};

int64_t decoded_bytes(std::string_view text) {
  int64_t characters = 0;
  char c = 0;
  for (DataCharacters data(text); data.next(c);) characters += c != '=' ? 1 : 0;
  return characters / 4 * 3 + characters % 4 * 3 / 4;
}

// Accepts the type of a picture, or one that says nothing: the bytes decide.
bool may_be_image(std::string_view type) {
  return type.empty() || type.starts_with("image/") || type == "application/octet-stream" ||
         type == "binary/octet-stream";
}

// Names a format that people take for one of those that are read; empty: another, or none.
std::string_view other_format(std::string_view b) {
  using namespace std::string_view_literals;
  if (b.starts_with("GIF8"sv)) return "GIF";
  if (b.starts_with("BM"sv)) return "BMP";
  if (b.starts_with("II*\0"sv) || b.starts_with("MM\0*"sv)) return "TIFF";
  const std::string_view brand = b.size() >= 12 && b.substr(4, 4) == "ftyp" ? b.substr(8, 4) : "";
  if (brand == "avif" || brand == "avis") return "AVIF";
  if (brand == "heic" || brand == "heix" || brand == "mif1") return "HEIC";
  if (b.starts_with("\0\0\0\x0CjP"sv)) return "JPEG 2000";
  if (b.starts_with("%PDF"sv)) return "PDF";
  if (trim_ascii(b.substr(0, 64)).starts_with("<svg"sv) || trim_ascii(b.substr(0, 64)).starts_with("<?xml"sv))
    return "SVG";
  return "";
}

ApiError bad_url(std::string text) { return {400, std::move(text), "", "invalid_image_url"}; }

}  // namespace

bool is_image_file(std::string_view b) {
  using namespace std::string_view_literals;
  return b.starts_with("\xFF\xD8\xFF"sv) || b.starts_with("\x89PNG\r\n\x1A\n"sv) ||
         (b.size() >= 12 && b.starts_with("RIFF"sv) && b.substr(8, 4) == "WEBP"sv);
}

std::optional<std::string> decode_base64(std::string_view text) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(decoded_bytes(text)));
  uint32_t bits = 0;
  size_t characters = 0;
  int padding = 0;
  char c = 0;
  for (DataCharacters data(text); data.next(c);) {
    if (c == '=') {
      if (++padding > 2) return std::nullopt;
      continue;
    }
    const int8_t six = kBase64[static_cast<uint8_t>(c)];
    if (six < 0 || padding > 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(six);
    const size_t held = ++characters * 6 % 8;  // bits that are no byte yet
    if (held != 6) bytes.push_back(static_cast<char>(bits >> held & 0xFF));
  }
  if (characters % 4 == 1) return std::nullopt;
  return bytes;
}

std::variant<std::string, ApiError> decode_image_url(std::string_view url, int64_t max_bytes) {
  url = trim_ascii(url.substr(0, url.find('#')));
  if (lower_ascii(url.substr(0, 5)) != "data:") {
    return bad_url(
        "Images are taken as data URLs (data:image/png;base64,...); this server does not fetch other URLs.");
  }
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos) return bad_url("The data URL has no comma before its data.");
  const std::string header = lower_ascii(url.substr(5, comma - 5));
  const std::string_view data = url.substr(comma + 1);
  const size_t marker = header.rfind(';');
  if (!may_be_image(trim_ascii(std::string_view(header).substr(0, header.find(';'))))) {
    return bad_url("The data URL's media type must be an image (image/jpeg, image/png or image/webp).");
  }
  if (marker == std::string::npos || trim_ascii(std::string_view(header).substr(marker + 1)) != "base64") {
    return bad_url("The data URL's data must be base64.");
  }
  if (decoded_bytes(data) > max_bytes) {
    return ApiError{413, message("The image is larger than the limit of ", max_bytes, " bytes."), "",
                    "image_too_large"};
  }
  std::optional<std::string> bytes = decode_base64(data);
  if (!bytes) return bad_url("The data URL's data is not valid base64.");
  if (!is_image_file(*bytes)) {
    const std::string_view other = other_format(*bytes);
    return ApiError{400,
                    other.empty()
                        ? "The image is not a JPEG, PNG or WebP file."
                        : message("The image is of the format ", other, "; JPEG, PNG and WebP are taken."),
                    "", "unsupported_image"};
  }
  return *std::move(bytes);
}

}  // namespace uhd
