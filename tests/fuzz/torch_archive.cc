// Reads a PyTorch archive: a zip file with a pickle.
#include "model/weights/torch_archive.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_torch_archive(std::string_view bytes) {
  const std::vector<std::byte> file = copied(bytes);
  for (const auto& [name, tensor] : read_torch_archive(file, "fuzz").tensors)
    touch({static_cast<const std::byte*>(tensor.raw()), tensor.bytes()});
  return true;
}

}  // namespace uhd
