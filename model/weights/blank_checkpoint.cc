#include "model/weights/blank_checkpoint.h"

#include <algorithm>

namespace uhd {

Checkpoint blank_checkpoint(const std::vector<Parameter>& parameters) {
  int64_t longest = 1;
  for (const Parameter& p : parameters) {
    if (p.shape.rank() == 1) longest = std::max(longest, p.shape[0]);
  }
  std::vector<std::unique_ptr<std::byte[]>> memory;
  memory.push_back(std::make_unique<std::byte[]>(static_cast<size_t>(longest) * sizeof(bf16)));
  std::map<std::string, Tensor> tensors;
  for (const Parameter& p : parameters) {
    tensors.emplace(p.name, Tensor(memory.front().get(), DType::bf16, p.shape));
  }
  return {std::move(tensors), std::move(memory)};
}

}  // namespace uhd
