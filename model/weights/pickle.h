// The pickle of a PyTorch state dict, read by an interpreter that can only build tensors: nothing that the
// pickle names is imported or called. A closed list of names is understood (the rebuilding of tensors and
// parameters, storage types, OrderedDict); any other name, and any opcode that would do more, is an Error.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace uhd {

// How one tensor of the pickle lies in a storage. Sizes and strides count elements and are as the file gives
// them: not yet checked against the storage.
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
