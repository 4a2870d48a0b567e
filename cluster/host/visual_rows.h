// Writes and reads rows of visual tokens for a link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace uhd {

// The payload of a visual_rows frame holds job, rows, width and type, then the values row by row.
constexpr size_t kRowsHeaderBytes = 8 + 4 + 4 + 1;

// Returns the whole frame. `rows` is a dense [rows, width] host tensor of f32 or bf16; anything else is an
// Error.
std::vector<std::byte> write_rows(uint64_t job, Tensor rows);

// Copies the values into `rows` if the payload is of this job and has exactly this shape and type. Otherwise
// throws an Error that says what came and what was agreed.
void read_rows(std::span<const std::byte> payload, uint64_t job, Tensor rows);

// Returns the job that a payload belongs to.
uint64_t job_of_rows(std::span<const std::byte> payload);

void check_rows(Tensor rows);

}  // namespace uhd
