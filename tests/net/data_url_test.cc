#include "net/data_url.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

std::string error_code(std::string_view url, int64_t limit = 1000) {
  const auto result = decode_image_url(url, limit);
  return std::holds_alternative<ApiError>(result) ? std::get<ApiError>(result).code : "none";
}

TEST(DataUrl, DecodesBase64WithAndWithoutPadding) {
  EXPECT_EQ(decode_base64("aGVsbG8="), "hello");
  EXPECT_EQ(decode_base64("aGVsbG8"), "hello");
  EXPECT_EQ(decode_base64("aGVsbA=="), "hell");
  EXPECT_EQ(decode_base64(""), "");
}

TEST(DataUrl, DecodesBase64AsBrowsersDo) {
  EXPECT_EQ(decode_base64("aGVs\nbG8="), "hello");
  EXPECT_EQ(decode_base64(" aGVs\r\nbG8=\r\n"), "hello");
  EXPECT_EQ(decode_base64("aGVs%0AbG8%3D"), "hello");
  EXPECT_EQ(decode_base64("%2b%2F+/"), decode_base64("+/+/"));
  EXPECT_EQ(decode_base64("-_-_"), decode_base64("+/+/"));
  EXPECT_EQ(decode_base64("\n"), "");
}

TEST(DataUrl, RefusesWhatIsNotBase64) {
  EXPECT_FALSE(decode_base64("aGVsbG8.").has_value());
  EXPECT_FALSE(decode_base64("aGVsbG8%"));
  EXPECT_FALSE(decode_base64("aGVsbG8%4"));
  EXPECT_FALSE(decode_base64("aGVsbG8%zz"));
  EXPECT_FALSE(decode_base64("a"));
  EXPECT_FALSE(decode_base64("a==="));
  EXPECT_FALSE(decode_base64("aG=sbG8="));
}

TEST(DataUrl, TakesImagesByTheirFirstBytes) {
  const auto png = decode_image_url("data:image/png;base64,iVBORw0KGgo=", 1000);
  ASSERT_TRUE(std::holds_alternative<std::string>(png));
  EXPECT_EQ(std::get<std::string>(png), "\x89PNG\r\n\x1A\n");
  EXPECT_EQ(error_code("DATA:image/jpeg;charset=x;BASE64,/9j/4AAQ"), "none");
  EXPECT_EQ(error_code("data:image/webp;base64,UklGRgAAAABXRUJQ"), "none");
  EXPECT_EQ(error_code(" data:image/png ; charset=utf-8 ; base64 ,iVBORw0K\nGgo=\n"), "none");
  EXPECT_EQ(error_code("data:application/octet-stream;base64,iVBORw0KGgo%3D#fragment"), "none");
  EXPECT_EQ(error_code("data:;base64,iVBORw0KGgo="), "none");
  EXPECT_EQ(error_code("data:image/gif;base64,/9j/4AAQ"), "none") << "bytes count, not the claimed type";
}

TEST(DataUrl, OtherFormatsAreNamed) {
  const auto told = [](const std::string& data) {
    return std::get<ApiError>(decode_image_url("data:image/png;base64," + data, 1000)).message;
  };
  EXPECT_EQ(told("R0lGODlh"), "The image is of the format GIF; JPEG, PNG and WebP are taken.");
  EXPECT_EQ(told("Qk0AAAAA"), "The image is of the format BMP; JPEG, PNG and WebP are taken.");
  EXPECT_EQ(told("SUkqAAAA"), "The image is of the format TIFF; JPEG, PNG and WebP are taken.");
  EXPECT_EQ(told("AAAAIGZ0eXBhdmlm"), "The image is of the format AVIF; JPEG, PNG and WebP are taken.");
  EXPECT_EQ(told("PHN2Zz4="), "The image is of the format SVG; JPEG, PNG and WebP are taken.");
  EXPECT_EQ(told("AAAA"), "The image is not a JPEG, PNG or WebP file.");
}
TEST(DataUrl, RefusesOtherUrlsAndOtherFiles) {
  EXPECT_EQ(error_code("https://example.org/a.png"), "invalid_image_url");
  EXPECT_EQ(error_code("file:///etc/passwd"), "invalid_image_url");
  EXPECT_EQ(error_code(""), "invalid_image_url");
  EXPECT_EQ(error_code("data:"), "invalid_image_url");
  EXPECT_EQ(error_code("data:,"), "invalid_image_url");
  EXPECT_EQ(error_code("data:text/plain;base64,aGVsbG8="), "invalid_image_url");
  EXPECT_EQ(error_code("data:image/png,rawdata"), "invalid_image_url");
  EXPECT_EQ(error_code("data:image/png;base64,!!!!"), "invalid_image_url");
  EXPECT_EQ(error_code("data:image/gif;base64,R0lGODlh"), "unsupported_image");
  EXPECT_EQ(error_code("data:image/svg+xml;base64,PHN2Zz4="), "unsupported_image");
  EXPECT_EQ(error_code("data:image/png;base64,"), "unsupported_image");
}

TEST(DataUrl, RefusesLargeImagesBeforeDecoding) {
  EXPECT_EQ(error_code("data:image/png;base64," + std::string(4000, '!')), "image_too_large");
}

}  // namespace
}  // namespace uhd
