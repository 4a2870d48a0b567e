// A slice becomes so many rows of the language model's input. Plans, prompts, memory and the towers all ask
// this one rule, so that every length is known from the size of a slice before anything is computed.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/vision/patch_grid.h"

namespace uhd {

struct SliceRows {
  int each = 0;             // rows of every slice, whatever its size; 0: a slice has them by its patches
  int patches_per_row = 1;  // used where `each` is 0

  int64_t of(PatchGrid grid) const { return each > 0 ? each : grid.patches() / patches_per_row; }
  // The most rows that `slices` slices of so many patches together become.
  int64_t most(int64_t patches, int64_t slices) const {
    return each > 0 ? each * slices : patches / patches_per_row;
  }
};

// Returns the rule of the model's tower. A model without a tower is an Error.
SliceRows slice_rows_of(const ModelConfig& model);

}  // namespace uhd
