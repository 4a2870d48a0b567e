// Reads PyTorch's zip archives (pytorch_model.bin): a pickle that says which tensor lies where, and one entry
// of raw bytes per storage.
#pragma once

#include <span>
#include <string>

#include "model/weights/file_tensors.h"

namespace uhd {

// The caller maps `file`, which outlives the tensors; `name` stands in errors. Nothing that the pickle asks
// for is executed (pickle.h). A tensor whose strides are not those of a dense one is copied.
FileTensors read_torch_archive(std::span<const std::byte> file, const std::string& name);

}  // namespace uhd
