// The models of the goldens with their golden files, found by scanning, and the comparison of tensors.
#pragma once

#include <boost/json/value.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/weights/checkpoint.h"
#include "model/weights/safetensors.h"

namespace uhd {

// One golden_*.json or golden_*.safetensors pair; either may be absent.
struct Golden {
  std::string name;  // "golden_text"
  std::filesystem::path folder;
  boost::json::value json;  // null when there is no .json

  // f32 values of a tensor of the .safetensors file; empty shape and values when it is not there.
  struct Values {
    Shape shape;
    std::vector<float> values;
    bool found() const { return shape.rank() > 0; }
  };
  Values tensor(const std::string& tensor_name) const;
  std::vector<std::string> tensor_names(const std::string& prefix) const;

  std::vector<int32_t> ids(const char* key) const;
  std::vector<double> numbers(const char* key) const;

  std::shared_ptr<MappedFile> file;
  std::shared_ptr<FileTensors> tensors;
};

// A model folder, ready to be loaded from.
struct GoldenModel {
  explicit GoldenModel(const std::filesystem::path& folder);
  const Checkpoint& tower() const { return tower_only ? *tower_only : checkpoint; }
  // The goldens of a model in several layouts hold for the tower inside one of them, which is not always the
  // one that the other layouts name: takes that one, where there is such a folder.
  void take_tower_of_same_weights();

  ModelConfig config;
  Checkpoint checkpoint;
  std::unique_ptr<Checkpoint> tower_only;  // when the tower lies in another folder
};

// Every folder of models/ that holds a language model; and the others (a bare CLIP).
std::vector<std::filesystem::path> golden_model_folders();
std::vector<std::filesystem::path> golden_tower_folders();

// The golden files that hold for the model of a folder, by prefix of their name: its own, or those of a
// folder with the same weights in another layout (equal names up to the last "-").
std::vector<Golden> goldens_of(const std::filesystem::path& folder, const std::string& prefix);

struct Difference {
  double max_abs = 0;
  double relative_rms = 0;
};
Difference difference(std::span<const float> found, std::span<const float> wanted);

// Both bounds of a format: f32 has only the first.
struct Tolerance {
  double max_abs;
  double relative_rms = 1e9;
};
// A GoogleTest failure with the figures when out of bounds (or not of the wanted number of values).
void expect_close(std::span<const float> found, std::span<const float> wanted, const Tolerance& tolerance,
                  const std::string& what);

// The host's copy of a device tensor (f32 or bf16, rows may be spaced), and values to a dense one.
std::vector<float> host_floats(Backend& backend, Tensor rows);
void set_floats(Backend& backend, Tensor rows, std::span<const float> values);

// Products as the format says. Each program of these tests has its own: cpu_backend.cc,
// tests/cuda/golden_backend.cc.
std::unique_ptr<Backend> test_backend(WeightFormat format);

}  // namespace uhd
