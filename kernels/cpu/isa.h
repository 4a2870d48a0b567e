// Knows which instruction sets this processor has, and makes the choice once.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/table.h"

namespace uhd::cpu {

// Returns the tables that this processor can run, best first. The last is "scalar", which every processor can
// run.
std::vector<const Table*> available_tables();

// Returns the best table for "auto", or the one that is named. An unknown name, or one that this processor or
// build lacks, is an Error.
const Table& choose_table(const std::string& isa);

// Returns whether code for AVX2 may run where choose_table(isa) is the choice: for loops that have no place
// in the table.
bool has_avx2(const std::string& isa);

}  // namespace uhd::cpu
