// Reads the safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes.
#pragma once

#include <span>
#include <string>

#include "model/weights/file_tensors.h"

namespace uhd {

// The caller maps `file`, which outlives the tensors; `name` stands in errors. As the format demands, the
// tensors must cover the bytes after the header without gap or overlap. Anything else is an Error that names
// the tensor.
FileTensors read_safetensors(std::span<const std::byte> file, const std::string& name);

}  // namespace uhd
