// Finds the models of the goldens with their golden files by scanning, and compares tensors.
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
#include "tests/support/golden_models.h"

namespace uhd {

// A Golden is one golden_*.json or golden_*.safetensors pair; either may be absent.
struct Golden {
  std::string name;  // "golden_text"
  std::filesystem::path folder;
  boost::json::value json;  // null if there is no .json

  // The f32 values of a tensor of the .safetensors file; shape and values are empty if it is not there.
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

// A GoldenModel is a model folder, ready to be loaded from.
struct GoldenModel {
  explicit GoldenModel(const std::filesystem::path& folder);
  const Checkpoint& tower() const { return tower_only ? *tower_only : checkpoint; }
  // Takes the tower for which the goldens hold, if the model names another (layout_with_its_tower).
  void take_tower_of_same_weights();

  ModelConfig config;
  Checkpoint checkpoint;
  std::unique_ptr<Checkpoint> tower_only;  // set if the tower lies in another folder
};

// Returns the golden files that hold for the model of a folder (folder_of_goldens), by prefix of their name.
std::vector<Golden> goldens_of(const std::filesystem::path& folder, const std::string& prefix);

struct Difference {
  double max_abs = 0;
  double relative_rms = 0;
};
Difference difference(std::span<const float> found, std::span<const float> wanted);

// A Tolerance holds both bounds of a format; f32 has only the first.
struct Tolerance {
  double max_abs;
  double relative_rms = 1e9;
};
// Fails the test with the figures if the values are out of bounds (or their number is wrong).
void expect_close(std::span<const float> found, std::span<const float> wanted, const Tolerance& tolerance,
                  const std::string& what);

// These return the host's copy of a device tensor (f32 or bf16, rows may be spaced), and copy values to a
// dense one.
std::vector<float> host_floats(Backend& backend, Tensor rows);
void set_floats(Backend& backend, Tensor rows, std::span<const float> values);

// Returns a backend that forms products as the format says. Each program of these tests has its own:
// cpu_backend.cc, tests/cuda/golden_backend.cc.
std::unique_ptr<Backend> test_backend(WeightFormat format);

}  // namespace uhd
