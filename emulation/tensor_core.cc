// The tensor-core instructions on the host. Fragments: PTX ISA, "Matrix Fragments for mma.m16n8k16 with
// floating point type" and "ldmatrix".
#include <bit>

#include "emulation/cuda.h"

namespace uhd::emulation {
namespace {

float low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

struct MmaSlot {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

// Lane 4 g + t holds: of A rows g and g + 8, columns 2t, 2t + 1 and those plus 8; of B the same rows (k),
// column g; of D rows g and g + 8, columns 2t and 2t + 1.
void multiply(void* const* slots) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    if (slots[lane] == nullptr) return fail("mma needs all lanes of the warp");
    const auto& s = *static_cast<const MmaSlot*>(slots[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
      a[row][column] = low(s.a[i]);
      a[row][column + 1] = high(s.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + i * 8][g] = low(s.b[i]);
      b[2 * t + i * 8 + 1][g] = high(s.b[i]);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    auto& s = *static_cast<MmaSlot*>(slots[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = s.d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      s.d[i] = sum;
    }
  }
}

struct MatrixSlot {
  uint32_t* r;
  const uint16_t* row;
  bool transposed;
};

void load_matrices(void* const* slots) {
  for (int lane = 0; lane < 32; ++lane)
    if (slots[lane] == nullptr) return fail("ldmatrix needs all lanes of the warp");
  for (int lane = 0; lane < 32; ++lane) {
    auto& own = *static_cast<MatrixSlot*>(slots[lane]);
    for (int m = 0; m < 4; ++m) {
      const auto row = [&](int i) { return static_cast<const MatrixSlot*>(slots[8 * m + i])->row; };
      const int r = lane / 4, c = lane % 4 * 2;
      const uint32_t first = own.transposed ? row(c)[r] : row(r)[c];
      const uint32_t second = own.transposed ? row(c + 1)[r] : row(r)[c + 1];
      own.r[m] = first | second << 16;
    }
  }
}

}  // namespace

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const char* file, int line) {
  MmaSlot slot{d, a, b};
  warp_collective(0xffffffffu, &slot, multiply, file, line);
}

void load_matrix_x4(uint32_t (&r)[4], const void* row, bool transposed, const char* file, int line) {
  require_aligned(row, 16, file, line);
  MatrixSlot slot{r, static_cast<const uint16_t*>(row), transposed};
  warp_collective(0xffffffffu, &slot, load_matrices, file, line);
}

}  // namespace uhd::emulation
