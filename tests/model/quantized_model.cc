#include "tests/model/quantized_model.h"

#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstring>
#include <fstream>

#include "kernels/quantize.h"
#include "model/weights/loader.h"
#include "model/weights/parameters.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

// A matrix as its codes stand for it.
std::vector<float> dequantized(const Tensor& matrix, WeightFormat format) {
  std::vector<float> values;
  RowQuantizer rows(matrix, {}, format);
  for (int64_t row = 0; row < matrix.rows(); ++row) {
    rows.quantize(row);
    for (size_t i = 0; i < rows.codes().size(); ++i) {
      const float scale = rows.scales()[format == WeightFormat::int4 ? i / kGroup : 0];
      const uint8_t code = rows.codes()[i];
      values.push_back(scale * (format == WeightFormat::fp8 ? from_e4m3(code)
                                                            : static_cast<float>(static_cast<int8_t>(code))));
    }
  }
  return values;
}

WeightFormat format_of(const Parameter& parameter, WeightFormat layers) {
  return parameter.rule == ShardRule::vocabulary ? head_format(layers) : layers;
}

// The values of every tensor of the checkpoint, in the order of its names.
std::vector<float> values_of(const std::string& name, const Tensor& tensor,
                             const std::vector<Parameter>& table, WeightFormat format) {
  for (const Parameter& p : table) {
    if (p.product && p.name == name) return dequantized(tensor, format_of(p, format));
  }
  return floats_of(tensor);
}

bool holds_weights(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.find(".safetensors") != std::string::npos || name.ends_with(".bin") ||
         name.ends_with(".bin.index.json");
}

}  // namespace

double logits_bound(const GoldenModel& model, WeightFormat format) {
  double error = 0, size = 0;
  for (const Parameter& p : language_parameters(model.config)) {
    if (!p.product || p.rule == ShardRule::unused) continue;
    const Tensor& matrix = *model.checkpoint.find(p.name);
    const std::vector<float> values = floats_of(matrix), held = dequantized(matrix, format_of(p, format));
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(static_cast<double>(values[i]) - held[i], 2);
      size += std::pow(static_cast<double>(values[i]), 2);
    }
  }
  return 2 * std::sqrt(error / size * (1 + 4 * model.config.language.layers));
}

fs::path write_dequantized(const fs::path& folder, WeightFormat format, const fs::path& into) {
  const GoldenModel model(folder);
  check(!model.config.language.tied, "the head of a tied model has no tensor of its own");
  // Neighbours, among them vision towers, are found where they were.
  for (const auto& neighbour : fs::directory_iterator(folder.parent_path())) {
    if (neighbour.path() != folder)
      fs::create_directory_symlink(fs::absolute(neighbour.path()), into / neighbour.path().filename());
  }
  const fs::path copy = into / folder.filename();
  fs::create_directory(copy);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!holds_weights(entry.path()))
      fs::copy(entry.path(), copy / entry.path().filename(), fs::copy_options::recursive);
  }
  const auto table = language_parameters(model.config);
  boost::json::object header;
  std::string data;
  for (const auto& [name, tensor] : model.checkpoint.tensors()) {
    if (tensor.dtype() != DType::f32 && tensor.dtype() != DType::bf16 && tensor.dtype() != DType::f16)
      continue;
    const std::vector<float> values = values_of(name, tensor, table, format);
    boost::json::array shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.dim(i));
    const size_t first = data.size();
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {first, data.size()}}};
  }
  std::string text = boost::json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  std::ofstream(copy / "model.safetensors", std::ios::binary) << bytes << text << data;
  return copy;
}

}  // namespace uhd
