#include "kernels/dtype.h"

namespace uhd {

f16::f16(float f) : bits(std::bit_cast<uint16_t>(static_cast<_Float16>(f))) {}
f16::operator float() const { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

}  // namespace uhd
