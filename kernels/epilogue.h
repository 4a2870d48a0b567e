// An Epilogue changes a product's result before it is stored.
#pragma once

#include <cstdint>

namespace uhd {

enum class Epilogue : uint8_t {
  none,
  gelu,        // x/2 (1 + erf(x/√2))
  gelu_tanh,   // the tanh form
  quick_gelu,  // x σ(1.702 x)
  add,         // out += result: the residual connection
};

}  // namespace uhd
