// Reads the pickle of a PyTorch state dict.
#include "model/weights/pickle.h"
#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_pickle(std::string_view bytes) {
  const std::vector<std::byte> pickle = copied(bytes);
  for (const PickledTensor& tensor : read_tensor_pickle(pickle, "fuzz")) {
    must_hold(tensor.sizes.size() == tensor.strides.size(), "a tensor has more sizes than strides");
  }
  return true;
}

}  // namespace uhd
