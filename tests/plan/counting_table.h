// Counts what the CPU's loops multiply and read, by wrapping a table of them (kernels/cpu/table.h). It sees
// the jobs that the loops are given and knows nothing of the cost model, nor of models at all.
#pragma once

#include "kernels/cpu/table.h"

namespace uhd {

struct Counted {
  double multiply_adds = 0;
  double weight_bytes = 0;  // panels that were read, without the padding of their last columns
  double key_bytes = 0;     // keys and values in blocks, once for each pass over a block
};

// Returns a table that does what `inner` does and counts. All such tables count into one place, and wrap the
// same inner table: the one that was given first.
const cpu::Table& counting_table(const cpu::Table& inner);

// Returns what was counted since the last call.
Counted take_counted();

}  // namespace uhd
