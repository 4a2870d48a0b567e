// Tells how much host memory there is for KV pages, and gives back what this process no longer uses.
#pragma once

#include <cstdint>

namespace uhd {

// Returns the bytes of host memory that can be taken now without pushing others out, within the limit of this
// program's control group.
int64_t available_memory();

// Large blocks of this process, such as pictures and slices, go back to the system as soon as they are freed.
// Call it once, at the beginning of a program.
void keep_large_blocks_apart();

// Gives the system what was freed and is still kept for later allocations: what parsing a vocabulary,
// converting weights or cutting a picture took.
void give_back_freed_memory();

// Gives it what only the start needed: the same, and pages of tables of the program and its libraries. Call
// it when a model is loaded.
void give_back_what_start_took();

}  // namespace uhd
