// Every checkpoint of the goldens reads as its inventory says.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/weights/checkpoint.h"
#include "model/weights/safetensors.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

std::string upper_name(DType dtype) {
  std::string name(name_of(dtype));
  for (char& c : name) c = static_cast<char>(std::toupper(c));
  return name;
}

std::vector<int64_t> dims_of(const Tensor& tensor) {
  std::vector<int64_t> dims;
  for (int i = 0; i < tensor.rank(); ++i) dims.push_back(tensor.dim(i));
  return dims;
}

TEST(CheckpointGoldens, InventoryHolds) {
  const auto inventory = read_json_file(goldens_directory() / "inventory.json");
  size_t tensors = 0;
  for (const auto& file : inventory.as_object()) {
    const std::string path(file.key());
    const MappedFile mapped(goldens_directory() / path);
    const FileTensors read = read_safetensors(mapped.bytes(), path);
    EXPECT_EQ(read.tensors.size(), file.value().as_object().size()) << path;
    for (const auto& entry : file.value().as_object()) {
      const auto found = read.tensors.find(std::string(entry.key()));
      ASSERT_NE(found, read.tensors.end()) << path << " " << entry.key();
      const auto& want = entry.value().as_array();  // dtype, size, size, ...
      std::vector<int64_t> sizes;
      for (size_t i = 1; i < want.size(); ++i) sizes.push_back(want[i].as_int64());
      EXPECT_EQ(dims_of(found->second), sizes);
      EXPECT_EQ(upper_name(found->second.dtype()), std::string(want[0].as_string()));
      ++tensors;
    }
  }
  EXPECT_GT(tensors, 0u);
}

float value_of(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::f32:
      return tensor.data<float>()[i];
    case DType::bf16:
      return static_cast<float>(tensor.data<bf16>()[i]);
    default:
      return static_cast<float>(tensor.data<f16>()[i]);
  }
}

// Directories X-bin and X-orig hold the same weights; the float16 of the first rounds them.
void compare_archive(const Checkpoint& archive, const Checkpoint& original) {
  size_t compared = 0;
  for (const auto& [name, tensor] : original.tensors()) {
    const Tensor* same = archive.find(name);
    ASSERT_NE(same, nullptr) << name;
    ASSERT_EQ(same->shape(), tensor.shape()) << name;
    if (tensor.dtype() == DType::i64) continue;
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const float want = value_of(tensor, i);
      ASSERT_NEAR(value_of(*same, i), want, 1e-6f + std::abs(want) * 1e-3f) << name << " " << i;
    }
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

// A set of goldens may be without archives, or have them alone; the set of the source tree has a pair.
TEST(CheckpointGoldens, PyTorchArchivesHoldTheSameWeights) {
  size_t pairs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(goldens_directory() / "models")) {
    const std::filesystem::path& directory = entry.path();
    if (find_goldens("models" / directory.filename(), "pytorch_model", ".bin").empty()) continue;
    SCOPED_TRACE(directory.string());
    const Checkpoint archive(directory);
    EXPECT_FALSE(archive.tensors().empty());
    std::string twin = directory.string();
    if (!twin.ends_with("-bin")) continue;
    twin.replace(twin.size() - 4, 4, "-orig");
    if (!std::filesystem::exists(twin)) continue;
    compare_archive(archive, Checkpoint{std::filesystem::path(twin)});
    ++pairs;
  }
  EXPECT_TRUE(pairs > 0 || !bundled_goldens());
}

}  // namespace
}  // namespace uhd
