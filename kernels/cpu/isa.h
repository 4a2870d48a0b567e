// Instruction sets: what this processor can do, and the choice, made once.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/table.h"

namespace uhd::cpu {

// The tables this processor can run, best first; the last is "scalar", which every processor can.
std::vector<const Table*> available_tables();

// "auto" is the best; a name picks that one. An unknown name, or one this processor or build lacks, is an
// Error.
const Table& choose_table(const std::string& isa);

// Returns whether code for AVX2 may run where choose_table(isa) is the choice: for loops that have no place
// in the table.
bool has_avx2(const std::string& isa);

}  // namespace uhd::cpu
