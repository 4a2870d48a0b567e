// A Checkpoint holds all tensors of a model by name, over whatever files it was published in: safetensors
// (one or sharded with an index), PyTorch .bin zip archives. Files are memory-mapped; only tensors that lie
// unaligned or strided are copied.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "kernels/tensor.h"

namespace uhd {

class PackedCache;

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
  // The pages of a tensor that was read are no longer counted as this process's. They are read again
  // from the system's cache of the file. It does nothing for a tensor that is not in a file.
  void drop(const Tensor& tensor) const;
  // Does the same for all of its files. Small tensors share pages, so that only all of them can be dropped.
  void drop_all() const;
  // For a tensor that stays where it is in its file, which is read ahead: returns what keeps the file mapped
  // beyond the checkpoint's own life. The result is null if the tensor is in no file.
  std::shared_ptr<const void> hold(const Tensor& tensor) const;
  // A Place says where a tensor begins: in which file, of which size and time of change, at which byte of it.
  struct Place {
    std::string file;
    uint64_t size = 0;
    int64_t modified = 0;
    uint64_t offset = 0;
  };
  std::optional<Place> place_of(const Tensor& tensor) const;  // none: in no file
  // Packed weights of this checkpoint are kept there from now on, and taken from there; null: nowhere.
  void keep_packed(std::shared_ptr<PackedCache> cache) { packed_ = std::move(cache); }
  PackedCache* packed() const { return packed_.get(); }
  const std::filesystem::path& directory() const { return directory_; }

 private:
  using Files = std::vector<std::shared_ptr<const MappedFile>>;
  Files::const_iterator file_of(const Tensor& tensor) const;
  void read_all();
  void read_file(const std::filesystem::path& path);
  void read_sharded(const std::filesystem::path& index);

  std::filesystem::path directory_;
  Files files_;
  std::vector<std::string> file_names_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::map<std::string, Tensor> tensors_;
  std::shared_ptr<PackedCache> packed_;
};

}  // namespace uhd
