// Checks of shapes and dtypes. Those of the operations stand with their arguments (kernels/operations.h);
// here are those of what else Backend does with tensors. A broken contract is the same Error on every
// backend.
#pragma once

#include <span>

#include "kernels/tensor.h"

namespace uhd::contracts {

void upload(Tensor device, Tensor host);
void download(Tensor host, Tensor device);
void pack(Tensor host, Tensor whole);
void pack_parts(std::span<const Tensor> parts, int64_t rows);

}  // namespace uhd::contracts
