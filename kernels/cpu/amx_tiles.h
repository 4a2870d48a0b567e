// The eight tile registers of AMX, each of 16 rows of 64 bytes, by instructions of the processor. Only one
// .cc includes it, and runs only where this_processor().amx says so; everything is internal to that file.
//
// The instructions are written as assembly, because g++ 12's intrinsics take no register from a template and
// do not tell the compiler that they read memory. Sanitizers do not see these loads and stores.
#pragma once

#include <cstdint>

namespace uhd::cpu {
namespace {

// The registers are configured while an object lives, for its thread alone.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1;
      uint8_t start_row = 0;
      uint8_t reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    static_assert(sizeof shapes == 64);
    asm volatile("ldtilecfg (%0)" ::"r"(&shapes) : "memory");
  }
  ~Tiles() { asm volatile("tilerelease" ::: "memory"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  // Rows lie `stride` bytes apart.
  template <int kTile>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1),%%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  // Loads beside the first-level cache: what is read once leaves room for other operands there.
  template <int kTile>
  void load_once(const void* from, int64_t stride) {
    asm volatile("tileloaddt1 (%0,%1,1),%%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2,(%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  // c += a · b; amx_twin.h defines both.
  template <int kC, int kA, int kB>
  void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2,%%tmm%c1,%%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  void dot_int8() {
    asm volatile("tdpbssd %%tmm%c2,%%tmm%c1,%%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
};

}  // namespace
}  // namespace uhd::cpu
