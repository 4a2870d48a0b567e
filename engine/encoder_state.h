// Says how an encoder rank does, for metrics.
#pragma once

#include <cstdint>

namespace uhd {

struct EncoderState {
  uint32_t encoder = 0;           // EncoderId
  int slices = 0;                 // slices that it has now
  double patches_per_second = 0;  // its speed of late, transfers included; 0: unknown
  bool healthy = true;            // it does not rest after failures
  int64_t encoded = 0;            // slices so far
  int64_t failed = 0;             // those that came late, too
};

}  // namespace uhd
