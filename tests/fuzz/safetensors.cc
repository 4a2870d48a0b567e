// Reads a safetensors file.
#include "model/weights/safetensors.h"
#include "tests/fuzz/targets.h"

namespace uhd {
bool fuzz_safetensors(std::string_view bytes) {
  const std::vector<std::byte> file = copied(bytes);
  for (const auto& [name, tensor] : read_safetensors(file, "fuzz").tensors)
    touch({static_cast<const std::byte*>(tensor.raw()), tensor.bytes()});
  return true;
}

}  // namespace uhd
