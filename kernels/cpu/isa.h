// Knows which instruction sets this processor has, and makes the choice once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/table.h"

namespace uhd::cpu {

// The choice of a table follows from a Processor. Family and model are CPUID's, with the extended parts
// added.
struct Processor {
  std::string vendor;  // CPUID's text: "GenuineIntel", "AuthenticAMD"; empty where there is no CPUID
  int family = 0;
  int model = 0;
  bool avx2 = false;         // AVX2 and FMA
  bool avx512 = false;       // F, BW, DQ and VL
  bool avx512_bf16 = false;  // BF16 and VNNI, beside avx512
  bool amx = false;          // tiles of bfloat16 and int8, beside avx512_bf16, and permission to use them
  bool neon = false;         // NEON of arm64
  bool neon_bf16 = false;    // dot and matrix products of bfloat16 and of bytes, beside neon
};
// Features count where the operating system keeps their registers too.
Processor this_processor();

// Asks the kernel for the tile registers of AMX, which a process must before it uses them. It asks once: at
// the start of main(), because the kernel refuses where a thread has a small alternate stack for signals, as
// libraries may make. Returns 0, or the error's number. ENODEV: the processor or the system has none.
int ask_for_tiles();

// Returns the system's reason not to permit the tiles; "" if it permits them or there are none.
std::string why_no_tiles();

// Returns the names of the tables that such a processor can run, the one that reaches most first. The last is
// "scalar", which every processor can run.
std::vector<std::string_view> table_order(const Processor& processor);

// Returns the tables of table_order(this_processor()).
std::vector<const Table*> available_tables();

// Returns the stand-ins of table amx that this processor can run. They are there for tests, by name.
std::vector<const Table*> twin_tables();

// Returns the best table for "auto", or the one that is named. An unknown name, or one that this processor or
// build lacks, is an Error.
const Table& choose_table(const std::string& isa);

// Returns whether code for AVX2 may run where choose_table(isa) is the choice: for loops that have no place
// in the table.
bool has_avx2(const std::string& isa);

// Likewise for AVX-512 with VBMI and VNNI: bytes that are picked by an index, and multiplied.
bool has_avx512_bytes(const std::string& isa);

}  // namespace uhd::cpu
