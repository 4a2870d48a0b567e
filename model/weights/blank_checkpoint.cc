#include "model/weights/blank_checkpoint.h"

#include <algorithm>

namespace uhd {

Checkpoint blank_checkpoint(const std::vector<Parameter>& parameters) {
  int64_t longest = 0;
  for (const Parameter& p : parameters) longest = std::max(longest, p.shape.elements());
  std::vector<std::unique_ptr<std::byte[]>> memory;
  memory.push_back(std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(longest) * sizeof(bf16)));
  std::map<std::string, Tensor> tensors;
  for (const Parameter& p : parameters) {
    tensors.emplace(p.name, Tensor(memory.front().get(), DType::bf16, p.shape));
  }
  return {std::move(tensors), std::move(memory)};
}

}  // namespace uhd
