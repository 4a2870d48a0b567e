// All tensors of a model by name, over whatever files it was published in: safetensors (one or sharded with
// an index), PyTorch .bin zip archives. Memory-mapped; nothing is copied.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "kernels/tensor.h"

namespace uhd {

// Tensors stay valid for the checkpoint's lifetime. Every name, shape, dtype and offset was checked against
// the file.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& directory);
  const Tensor* find(const std::string& name) const;  // null when absent
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
  std::vector<MappedFile> files_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace uhd
