// Keeps packed weights in files, so that the next start maps them instead of packing: no memory of its own,
// and one copy for all ranks of a host. Small pages cost a tenth of the decoding speed in return
// (kernels/cpu/memory.cc).
//
// One file holds one weight. Its name is a fingerprint of all that the bytes follow from: what the weight is
// made of (place in the checkpoint's file, that file's size and time of change, some of its values), format,
// and layout. A file is written under another name, brought to disk and then renamed, so that one that was
// cut off, or is written by two ranks at once, is never read; a failure to write, such as a full disk, is a
// warning and no more. A file whose head or length is not as expected is packed anew.
//
// Anyone who can write to the directory chooses the model's weights, as who can write to the checkpoint does.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.h"

namespace uhd {

class Checkpoint;

class PackedCache {
 public:
  // `layout` names all that decides how a backend packs. The directory is made if it is not there; where it
  // cannot be, that is an Error. Leftovers of writers that were cut off are removed.
  PackedCache(const std::filesystem::path& directory, std::string layout);

  // Returns a weight of `rows` rows that is packed from `parts` of the checkpoint, one under another: from
  // its file, else what `pack` returns, which is kept then. `whole` as in Backend::pack. Thread-safe.
  Weight weight(const Checkpoint& checkpoint, std::span<const Tensor> parts, Tensor whole, int64_t rows,
                WeightFormat format, const Backend& backend, const std::function<Weight()>& pack);

 private:
  void keep(const std::filesystem::path& path, std::span<const std::byte> head, const Weight& weight);

  std::filesystem::path directory_;
  std::string layout_;
  std::atomic<bool> full_ = false;  // a file could not be written: no more are
};

}  // namespace uhd
