#include "tests/model/golden_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "model/json_file.h"
#include "model/weights/loader.h"

namespace uhd {

namespace fs = std::filesystem;

Golden::Values Golden::tensor(const std::string& tensor_name) const {
  if (!tensors) return {};
  const auto found = tensors->tensors.find(tensor_name);
  if (found == tensors->tensors.end()) return {};
  Values result{found->second.shape(), {}};
  if (found->second.dtype() == DType::i32) {
    const auto* data = found->second.data<int32_t>();
    result.values.assign(data, data + found->second.elements());
  } else {
    result.values = floats_of(found->second);
  }
  return result;
}

std::vector<std::string> Golden::tensor_names(const std::string& prefix) const {
  std::vector<std::string> names;
  if (!tensors) return names;
  for (const auto& [tensor_name, tensor] : tensors->tensors) {
    if (tensor_name.starts_with(prefix)) names.push_back(tensor_name);
  }
  return names;
}

std::vector<int32_t> Golden::ids(const char* key) const {
  std::vector<int32_t> result;
  for (const auto& id : json.at(key).as_array())
    result.push_back(static_cast<int32_t>(id.to_number<int64_t>()));
  return result;
}

std::vector<double> Golden::numbers(const char* key) const {
  std::vector<double> result;
  for (const auto& value : json.at(key).as_array()) result.push_back(value.to_number<double>());
  return result;
}

GoldenModel::GoldenModel(const fs::path& folder) : config(read_model_config(folder)), checkpoint(folder) {
  if (config.vision && config.vision_directory != config.directory) {
    tower_only = std::make_unique<Checkpoint>(config.vision_directory);
  }
}

namespace {

std::vector<Golden> read_goldens(const fs::path& folder, const std::string& prefix) {
  std::map<std::string, Golden> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string stem = entry.path().stem().string();
    const std::string ending = entry.path().extension().string();
    if (!stem.starts_with(prefix) || (ending != ".json" && ending != ".safetensors")) continue;
    Golden& golden = found[stem];
    golden.name = stem;
    golden.folder = folder;
    if (ending == ".json") {
      golden.json = read_json_file(entry.path());
    } else {
      golden.file = std::make_shared<MappedFile>(entry.path());
      golden.tensors =
          std::make_shared<FileTensors>(read_safetensors(golden.file->bytes(), entry.path().string()));
    }
  }
  std::vector<Golden> goldens;
  for (auto& [name, golden] : found) goldens.push_back(std::move(golden));
  return goldens;
}

}  // namespace

void GoldenModel::take_tower_of_same_weights() {
  const std::optional<ModelConfig> whole = layout_with_its_tower(config);
  if (!whole) return;
  tower_only = std::make_unique<Checkpoint>(whole->directory);
  config.vision_directory = whole->directory;
  config.prefix_vision = whole->prefix_vision;
}

std::vector<Golden> goldens_of(const fs::path& folder, const std::string& prefix) {
  const fs::path holds = folder_of_goldens(folder, prefix);
  return holds.empty() ? std::vector<Golden>() : read_goldens(holds, prefix);
}

Difference difference(std::span<const float> found, std::span<const float> wanted) {
  Difference d;
  double error = 0, size = 0;
  for (size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) {
    const double delta = static_cast<double>(found[i]) - wanted[i];
    // NaN is not below any bound.
    d.max_abs = std::isnan(delta) ? INFINITY : std::max(d.max_abs, std::abs(delta));
    error += delta * delta;
    size += static_cast<double>(wanted[i]) * wanted[i];
  }
  d.relative_rms = std::sqrt(error / std::max(size, 1e-30));
  return d;
}

void expect_close(std::span<const float> found, std::span<const float> wanted, const Tolerance& tolerance,
                  const std::string& what) {
  EXPECT_EQ(found.size(), wanted.size()) << what;
  const Difference d = difference(found, wanted);
  EXPECT_LE(d.max_abs, tolerance.max_abs) << what << ": relative RMS " << d.relative_rms;
  EXPECT_LE(d.relative_rms, tolerance.relative_rms) << what << ": max abs " << d.max_abs;
  if (std::getenv("UHD_SHOW_DIFFERENCES") != nullptr) {
    std::printf("%s: max abs %.3g, relative RMS %.3g\n", what.c_str(), d.max_abs, d.relative_rms);
  }
}

std::vector<float> host_floats(Backend& backend, Tensor rows) {
  std::vector<float> values;
  std::vector<bf16> halves(static_cast<size_t>(rows.row_size()));
  std::vector<float> floats(halves.size());
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const Tensor one = rows.slice_rows(r, 1);
    if (rows.dtype() == DType::bf16) {
      backend.download(Tensor::of(halves.data(), one.shape()), one);
      std::transform(halves.begin(), halves.end(), floats.begin(),
                     [](bf16 v) { return static_cast<float>(v); });
    } else {
      backend.download(Tensor::of(floats.data(), one.shape()), one);
    }
    values.insert(values.end(), floats.begin(), floats.end());
  }
  return values;
}

void set_floats(Backend& backend, Tensor rows, std::span<const float> values) {
  if (rows.dtype() == DType::f32) return backend.upload(rows, Tensor::of(values.data(), rows.shape()));
  std::vector<bf16> halves;
  for (const float v : values) halves.push_back(bf16(v));
  backend.upload(rows, Tensor::of(halves.data(), rows.shape()));
}

}  // namespace uhd
