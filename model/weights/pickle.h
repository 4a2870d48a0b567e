// Reads the pickle of a PyTorch state dict with an interpreter that can only build tensors: it imports and
// calls nothing that the pickle names. It understands a closed list of names (the rebuilding of tensors and
// parameters, storage types, OrderedDict); any other name, and any opcode that would do more, is an Error.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace uhd {

// A PickledTensor says how one tensor of the pickle lies in a storage. Sizes and strides, of which there are
// equally many, count elements and are as the file gives them: they are not yet checked against the storage.
struct PickledTensor {
  std::string name;
  std::string storage;  // key: the bytes are zip entry data/<key>
  DType dtype = DType::f32;
  int64_t storage_elements = 0;
  int64_t offset = 0;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
};

// Every value of the outermost dict must be a tensor. `where` stands in errors.
std::vector<PickledTensor> read_tensor_pickle(std::span<const std::byte> pickle, const std::string& where);

}  // namespace uhd
