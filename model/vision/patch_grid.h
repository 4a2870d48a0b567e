// The grid of patches that a slice is made of.
#pragma once

#include <cstdint>

namespace uhd {

// Rows x columns of patches, or of the features that they become, row-major.
struct PatchGrid {
  int rows = 0;
  int columns = 0;
  int64_t patches() const { return int64_t{rows} * columns; }
  bool operator==(const PatchGrid&) const = default;
};

}  // namespace uhd
