#include "model/weights/file_tensors.h"

#include <cstring>

#include "base/error.h"

namespace uhd {

Shape checked_shape(std::span<const int64_t> dims, DType dtype, const std::string& where) {
  require(dims.size() <= 4, where, " has ", dims.size(), " dimensions, more than 4");
  int64_t bytes = static_cast<int64_t>(size_of(dtype));
  for (const int64_t dim : dims) {
    require(dim >= 0, where, " has the negative size ", dim);
    require(!__builtin_mul_overflow(bytes, dim == 0 ? 1 : dim, &bytes), where, " has an absurd shape");
  }
  switch (dims.size()) {
    case 0:
      return {};
    case 1:
      return {dims[0]};
    case 2:
      return {dims[0], dims[1]};
    case 3:
      return {dims[0], dims[1], dims[2]};
    default:
      return {dims[0], dims[1], dims[2], dims[3]};
  }
}

Tensor tensor_over(std::span<const std::byte> bytes, DType dtype, const Shape& shape, FileTensors& owner) {
  const std::byte* data = bytes.data();
  if (reinterpret_cast<uintptr_t>(data) % size_of(dtype) != 0) {
    owner.copies.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes.size()));
    std::memcpy(owner.copies.back().get(), data, bytes.size());
    data = owner.copies.back().get();
  }
  return Tensor(const_cast<std::byte*>(data), dtype, shape);
}

}  // namespace uhd
