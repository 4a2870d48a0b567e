// Checks every expected pixel of the preprocessing goldens: decoding, resizing, cutting and the statistics
// after normalisation, as the published code has them (reference_compat).
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <string>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "model/vision/resize.h"
#include "model/vision/slicer.h"
#include "model/weights/safetensors.h"
#include "tests/model/golden_sizes.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace json = boost::json;
using Kind = SlicingConfig::Kind;

struct Normalisation {
  double mean[3];
  double deviation[3];
};
constexpr Normalisation kClip{{0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}};
constexpr Normalisation kHalf{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};

ImageLimits no_limits() {
  return {.max_bytes = INT64_MAX,
          .max_pixels = 1 << 30,
          .max_side = 1 << 20,
          .max_aspect = 1e9,
          .max_piece_patches = INT64_MAX};
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (uint8_t byte : sha256(std::as_bytes(bytes))) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  return text;
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

double normalised(uint8_t value, const Normalisation& norm, size_t channel) {
  return (value / 255.0 - norm.mean[channel]) / norm.deviation[channel];
}

// Mean, deviation and sum of absolute values of the normalised pixels.
void expect_statistics(const json::object& want, const Slice& slice, const Normalisation& norm,
                       double tolerance) {
  double sum = 0, squares = 0, absolute = 0;
  for (size_t i = 0; i < slice.pixels.size(); ++i) {
    const double value = normalised(slice.pixels[i], norm, i % 3);
    sum += value;
    squares += value * value;
    absolute += std::abs(value);
  }
  const double count = static_cast<double>(slice.pixels.size());
  EXPECT_NEAR(sum / count, want.at("mean").to_number<double>(), tolerance);
  EXPECT_NEAR(std::sqrt(squares / count - sum / count * (sum / count)), want.at("std").to_number<double>(),
              tolerance);
  EXPECT_NEAR(absolute / count, want.at("sum_abs").to_number<double>() / count, tolerance);
}

// A Case is one row of the table, with one image. A JPEG may decode two levels beside the reference, with
// another version of the library: then statistics are compared instead of hashes.
class Case {
 public:
  // `rgb_sha256`: of the decoded pixels, empty where no table gives it.
  Case(const std::filesystem::path& table, const json::object& row, const FileTensors& tensors,
       std::string rgb_sha256)
      : row_(row),
        tensors_(tensors),
        rgb_sha256_(std::move(rgb_sha256)),
        name_(text_of(row, "file")),
        bytes_(read_all(table.parent_path() / "images" / name_)),
        image_(decode_image(bytes_, no_limits(), true)) {}

  void expect_all() {
    SCOPED_TRACE(name_);
    EXPECT_EQ((Size{image_.width, image_.height}), size_of(row_.at("size")));
    expect_decoded();
    expect_oriented();
    if (const json::value* uhd = row_.if_contains("uhd")) expect_uhd(uhd->as_object());
    if (const json::value* uhd = row_.if_contains("uhd_eval")) expect_uhd_eval(uhd->as_object());
    expect_square("llava15_pad", "resized_u8_sha256", Kind::pad_square);
    expect_square("llava15_hf_crop", "u8_sha256", Kind::centre_crop);
    if (const json::value* minicpm = row_.if_contains("minicpm")) expect_minicpm(minicpm->as_object());
  }

 private:
  bool is_jpeg() const { return name_.ends_with(".jpg") || name_.ends_with(".jpeg"); }

  void expect_decoded() {
    exact_ = rgb_sha256_.empty() ? !is_jpeg() : hex(image_.pixels) == rgb_sha256_;
    const auto tensor = tensors_.tensors.find(name_ + "/rgb");
    if (tensor != tensors_.tensors.end()) {
      ASSERT_EQ(tensor->second.bytes(), image_.pixels.size());
      expect_near(tensor->second.data<uint8_t>(), image_.pixels);
    }
    const json::value* probes = row_.if_contains("rgb_probe");
    if (probes != nullptr) {
      for (const json::value& probe : probes->as_array()) expect_probe(probe.as_array());
    }
    EXPECT_TRUE(exact_ || is_jpeg()) << "decoded pixels differ";
  }

  void expect_near(const uint8_t* want, const std::vector<uint8_t>& got) const {
    const int tolerance = is_jpeg() ? 2 : 0;
    int worst = 0;
    for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(want[i] - got[i]));
    EXPECT_LE(worst, tolerance);
  }

  void expect_probe(const json::array& probe) const {
    const auto x = probe[0].to_number<size_t>(), y = probe[1].to_number<size_t>();
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(image_.pixels.at((y * image_.width + x) * 3 + c), probe.at(2 + c).to_number<int>(),
                  is_jpeg() ? 2 : 0)
          << x << "," << y;
    }
  }

  // Checks the picture of a server that heeds the orientation.
  void expect_oriented() const {
    const json::value* orientation = row_.if_contains("exif_orientation");
    if (orientation == nullptr || orientation->is_null() || !row_.contains("size_exif_transposed")) return;
    const ImageHeader header = read_image_header(bytes_, no_limits(), false);
    EXPECT_EQ(header.orientation, orientation->to_number<int>());
    EXPECT_EQ(header.oriented, size_of(row_.at("size_exif_transposed")));
    const Image turned = decode_image(bytes_, no_limits(), false);
    EXPECT_EQ((Size{turned.width, turned.height}), header.oriented);
    if (exact_) {
      EXPECT_EQ(hex(turned.pixels), text_of(row_, "rgb_exif_transposed_sha256"));
    }
  }

  std::vector<Slice> cut(const SlicingConfig& config, const json::object* want = nullptr) {
    const SlicePlan plan = plan_slices({image_.width, image_.height}, config);
    if (want != nullptr) {
      EXPECT_EQ((Size{plan.columns, plan.rows}), size_of(*want, "grid"));
    }
    return cut_slices(image_, plan, config, "");
  }

  void expect_pixels(const std::string& sha256_hex, const Slice& slice) const {
    if (exact_) {
      EXPECT_EQ(hex(slice.pixels), sha256_hex);
    }
  }

  void expect_statistics_of(const json::value* want, const Slice& slice, const Normalisation& norm) const {
    if (want != nullptr) expect_statistics(want->as_object(), slice, norm, exact_ ? 1e-5 : 1e-2);
  }

  void expect_uhd_pieces(const json::object& want, const std::vector<Slice>& slices) {
    const json::array& hashes = want.at("slices_u8_sha256").as_array();
    ASSERT_EQ(slices.size(), hashes.size() + 1);
    expect_pixels(text_of(want, "overview_u8_sha256"), slices.back());
    for (size_t i = 0; i < hashes.size(); ++i) expect_pixels(std::string(hashes[i].as_string()), slices[i]);
    expect_statistics_of(want.if_contains("overview_f32"), slices.back(), kClip);
    if (const json::value* floats = want.if_contains("slices_f32")) {
      for (size_t i = 0; i < hashes.size(); ++i)
        expect_statistics_of(&floats->as_array().at(i), slices[i], kClip);
    }
  }

  void expect_uhd(const json::object& want) {
    SCOPED_TRACE("uhd");
    const auto slices =
        cut({.scale = 336, .patch = 14, .max_slices = want.at("max").to_number<int>()}, &want);
    EXPECT_EQ((Size{slices.back().width, slices.back().height}), size_of(want.at("overview")));
    expect_uhd_pieces(want, slices);
    expect_tensor("/uhd_overview_u8", slices.back());
    expect_normalised_rows("/uhd_overview_f32_rows0_42", slices.back());
    for (size_t i = 0; i < slices.size(); ++i) {
      expect_tensor("/uhd_slice" + std::to_string(i) + "_u8", slices[i]);
    }
  }

  void expect_uhd_eval(const json::object& want) {
    SCOPED_TRACE("uhd_eval");
    const SlicingConfig config{.scale = 336, .patch = 14, .max_slices = 7, .prescale_longest = 1024};
    const Size scaled = size_of(want.at("prescaled"));
    EXPECT_EQ(plan_slices({image_.width, image_.height}, config).source, scaled);
    const Image prescaled =
        resize_bicubic(image_, static_cast<int>(scaled.width), static_cast<int>(scaled.height));
    if (exact_) {
      EXPECT_EQ(hex(prescaled.pixels), text_of(want, "prescaled_u8_sha256"));
    }
    expect_uhd_pieces(want, cut(config, &want));
  }

  void expect_square(const char* key, const char* hash, Kind kind) {
    const json::value* value = row_.if_contains(key);
    if (value == nullptr) return;
    SCOPED_TRACE(key);
    const auto slices = cut({.kind = kind, .scale = 336, .patch = 14});
    ASSERT_EQ(slices.size(), 1u);
    EXPECT_EQ(slices[0].width, 336);
    EXPECT_EQ(slices[0].height, 336);
    expect_pixels(text_of(value->as_object(), hash), slices[0]);
    expect_statistics_of(value->as_object().if_contains("f32"), slices[0], kClip);
    expect_tensor(std::string("/") + key + "_u8", slices[0]);
  }

  // The overview comes first in this family's tables.
  void expect_minicpm(const json::object& want) {
    SCOPED_TRACE("minicpm");
    auto slices = cut({.scale = 448,
                       .patch = 14,
                       .max_slices = want.at("max").to_number<int>(),
                       .rounding = SliceRounding::nearest_even},
                      &want);
    std::rotate(slices.begin(), slices.end() - 1, slices.end());
    expect_normalised_patches("/patched_f32_first28", slices.front());
    const json::array& sizes = want.at("sizes").as_array();
    ASSERT_EQ(slices.size(), sizes.size());
    for (size_t i = 0; i < slices.size(); ++i) {
      EXPECT_EQ((Size{slices[i].width, slices[i].height}), size_of(sizes[i]));
      expect_pixels(std::string(want.at("u8_sha256").as_array().at(i).as_string()), slices[i]);
      if (const json::value* floats = want.if_contains("f32")) {
        expect_statistics_of(&floats->as_array().at(i), slices[i], kHalf);
      }
    }
  }

  // The first `rows` rows of the normalised slice, channel by channel: [3, rows, width].
  void expect_normalised_rows(const std::string& key, const Slice& slice) const {
    const auto tensor = tensors_.tensors.find(name_ + key);
    if (tensor == tensors_.tensors.end() || !exact_) return;
    const Tensor& want = tensor->second;
    ASSERT_EQ(want.dim(2), slice.width);
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t i = 0; i < want.dim(1) * slice.width; ++i) {
        ASSERT_NEAR(want.data<float>()[c * want.dim(1) * slice.width + i],
                    normalised(slice.pixels[i * 3 + c], kClip, c), 2e-6);
      }
    }
  }

  // The first patches of the normalised slice, unfolded: [3, 14, 14 · patches].
  void expect_normalised_patches(const std::string& key, const Slice& slice) const {
    constexpr int64_t kPatch = 14;
    const auto tensor = tensors_.tensors.find(name_ + key);
    if (tensor == tensors_.tensors.end() || !exact_) return;
    const Tensor& want = tensor->second;
    const int64_t across = slice.width / kPatch;
    for (int64_t i = 0; i < want.elements(); ++i) {
      const int64_t column = i % want.dim(2), y = i / want.dim(2) % kPatch, c = i / want.dim(2) / kPatch;
      const int64_t patch = column / kPatch;
      const int64_t from_y = patch / across * kPatch + y, from_x = patch % across * kPatch + column % kPatch;
      ASSERT_NEAR(want.data<float>()[i],
                  normalised(slice.pixels[(from_y * slice.width + from_x) * 3 + c], kHalf, c), 2e-6);
    }
  }

  void expect_tensor(const std::string& key, const Slice& slice) const {
    const auto tensor = tensors_.tensors.find(name_ + key);
    if (tensor == tensors_.tensors.end() || !exact_) return;
    ASSERT_EQ(tensor->second.bytes(), slice.pixels.size());
    expect_near(tensor->second.data<uint8_t>(), slice.pixels);
  }

  const json::object& row_;
  const FileTensors& tensors_;
  std::string rgb_sha256_;
  std::string name_;
  std::string bytes_;
  Image image_;
  bool exact_ = true;
};

// Returns every image, from whichever table has it.
std::map<std::string, std::string> decoded_hashes(const std::vector<std::filesystem::path>& tables) {
  std::map<std::string, std::string> hashes;
  for (const auto& table : tables) {
    for (const auto& row : read_json_lines(table)) {
      const json::object& object = row.as_object();
      if (object.contains("rgb_sha256")) hashes[text_of(object, "file")] = text_of(object, "rgb_sha256");
    }
  }
  return hashes;
}

TEST(PreprocessGoldens, EveryPixelEqualsTheReference) {
  const auto tables = find_goldens("preprocess", "expected", ".jsonl");
  auto hashes = decoded_hashes(tables);
  int rows = 0;
  for (const auto& table : tables) {
    SCOPED_TRACE(table.filename().string());
    auto tensors_path = table;
    tensors_path.replace_extension(".safetensors");
    const MappedFile mapped(tensors_path);
    const FileTensors tensors = read_safetensors(mapped.bytes(), tensors_path.string());
    for (const auto& row : read_json_lines(table)) {
      const json::object& object = row.as_object();
      Case(table, object, tensors, hashes[text_of(object, "file")]).expect_all();
      ++rows;
    }
  }
  EXPECT_GT(rows, 0) << "no expected*.jsonl in " << goldens_directory() / "preprocess";
}

}  // namespace
}  // namespace uhd
