// FileTensors is the result of reading one weight file: its tensors by name, most of them views into the
// mapped file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace uhd {

struct FileTensors {
  std::map<std::string, Tensor> tensors;
  // Holds the tensors that are not dense or not aligned in the file.
  std::vector<std::unique_ptr<std::byte[]>> copies;
};

// Returns the shape, after checking its rank, and that elements and bytes fit 63 bits; `where` names file and
// tensor.
Shape checked_shape(std::span<const int64_t> dims, DType dtype, const std::string& where);

// Returns a dense tensor over `bytes`: in place if they are aligned for the dtype, else copied.
Tensor tensor_over(std::span<const std::byte> bytes, DType dtype, const Shape& shape, FileTensors& owner);

}  // namespace uhd
