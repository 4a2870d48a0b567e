#include "model/weights/torch_archive.h"

#include <cstring>

#include "base/error.h"
#include "model/weights/pickle.h"
#include "model/weights/zip_directory.h"

namespace uhd {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

// Elements from the first to the last one that the strides reach, both included.
int64_t extent_of(const PickledTensor& tensor, const std::string& where) {
  int64_t last = 0;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] == 0) return 0;
    int64_t span = 0;
    const bool overflow = __builtin_mul_overflow(tensor.sizes[i] - 1, tensor.strides[i], &span) ||
                          __builtin_add_overflow(last, span, &last);
    require(tensor.strides[i] >= 0 && !overflow, where, " has absurd strides");
  }
  return last + 1;
}

bool is_dense(const PickledTensor& tensor) {
  int64_t stride = 1;
  for (size_t i = tensor.sizes.size(); i-- > 0;) {
    if (tensor.sizes[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.sizes[i];
  }
  return true;
}

// Gathers a strided tensor into dense order.
void gather(std::byte* out, const std::byte* in, const PickledTensor& tensor, size_t element) {
  int64_t sizes[4] = {1, 1, 1, 1};
  int64_t strides[4] = {0, 0, 0, 0};
  const size_t lead = 4 - tensor.sizes.size();
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    sizes[lead + i] = tensor.sizes[i];
    strides[lead + i] = tensor.strides[i];
  }
  for (int64_t a = 0; a < sizes[0]; ++a) {
    for (int64_t b = 0; b < sizes[1]; ++b) {
      for (int64_t c = 0; c < sizes[2]; ++c) {
        const int64_t row = a * strides[0] + b * strides[1] + c * strides[2];
        for (int64_t d = 0; d < sizes[3]; ++d, out += element) {
          std::memcpy(out, in + static_cast<size_t>(row + d * strides[3]) * element, element);
        }
      }
    }
  }
}

}  // namespace

FileTensors read_torch_archive(std::span<const std::byte> file, const std::string& name) {
  const auto entries = read_zip_directory(file, name);
  std::string root;
  for (const auto& [entry, bytes] : entries) {
    if (!entry.ends_with(kPickle) || entry.find('/') != entry.size() - kPickle.size()) continue;
    require(root.empty(), name, " holds two pickles");
    root = entry.substr(0, entry.size() - kPickle.size());
  }
  require(!root.empty(), name, " is no PyTorch archive: it has no data.pkl");
  if (const auto order = entries.find(root + "/byteorder"); order != entries.end()) {
    const std::string_view text(reinterpret_cast<const char*>(order->second.data()), order->second.size());
    require(text == "little", name, " was written in another byte order than little-endian");
  }

  FileTensors result;
  size_t copied = 0;
  for (const PickledTensor& tensor : read_tensor_pickle(entries.at(root + std::string(kPickle)), name)) {
    const std::string where = message(name, ": tensor ", tensor.name);
    const auto storage = entries.find(root + "/data/" + tensor.storage);
    require(storage != entries.end(), where, " has its bytes in '", tensor.storage, "', which is not there");
    const size_t element = size_of(tensor.dtype);
    const auto elements = static_cast<int64_t>(storage->second.size() / element);
    require(tensor.storage_elements == elements && storage->second.size() % element == 0, where,
            ": its storage has ", storage->second.size(), " bytes, not ", tensor.storage_elements,
            " elements");
    const Shape shape = checked_shape(tensor.sizes, tensor.dtype, where);
    const int64_t extent = extent_of(tensor, where);
    require(tensor.offset >= 0 && tensor.offset <= elements && extent <= elements - tensor.offset, where,
            " reaches beyond its storage of ", elements, " elements");
    auto bytes = storage->second.subspan(static_cast<size_t>(tensor.offset) * element);
    Tensor view;
    if (is_dense(tensor)) {
      view = tensor_over(bytes.first(static_cast<size_t>(extent) * element), tensor.dtype, shape, result);
    } else {
      const auto size = static_cast<size_t>(shape.elements()) * element;
      require(shape.elements() <= elements && size <= file.size() - copied, where,
              " repeats its elements by its strides");
      copied += size;
      result.copies.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
      gather(result.copies.back().get(), bytes.data(), tensor, element);
      view = Tensor(result.copies.back().get(), tensor.dtype, shape);
    }
    require(result.tensors.emplace(tensor.name, view).second, where, " is there twice");
  }
  return result;
}

}  // namespace uhd
