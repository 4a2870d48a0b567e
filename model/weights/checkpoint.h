// A Checkpoint holds all tensors of a model by name, over whatever files it was published in: safetensors
// (one or sharded with an index), PyTorch .bin zip archives. Files are memory-mapped; only tensors that lie
// unaligned or strided are copied.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "kernels/tensor.h"

namespace uhd {

// Tensors stay valid for the checkpoint's lifetime. Every name, shape, dtype and offset is checked against
// the file; a mismatch is an Error that names file and tensor. If a directory holds both forms, safetensors
// are read.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& directory);
  // Makes a checkpoint of no files: its tensors are in `memory`.
  Checkpoint(std::map<std::string, Tensor> tensors, std::vector<std::unique_ptr<std::byte[]>> memory)
      : copies_(std::move(memory)), tensors_(std::move(tensors)) {}
  const Tensor* find(const std::string& name) const;  // null when absent
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::filesystem::path& directory() const { return directory_; }

 private:
  void read_all();
  void read_file(const std::filesystem::path& path);
  void read_sharded(const std::filesystem::path& index);

  std::filesystem::path directory_;
  std::vector<MappedFile> files_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace uhd
