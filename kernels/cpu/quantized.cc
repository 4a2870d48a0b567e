// Packs quantized weights: panels are as in matmul.cc, and a unit is a pair of codes that are neighbours
// along K.
//
// fp8 and int8 are [N/64][K/2][64][2] bytes with scales f32 [N/64][64]. int4 is [N/64][K/2][64] bytes of two
// nibbles, the first of the pair low, that hold code + 8; its scales are bfloat16 [N/64][K/kGroup][64].
// Padding is zero.
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/quantize.h"

namespace uhd::cpu {
namespace {

static_assert(kGroup == 2 * kGroupUnits);

void place_bytes(std::span<const uint8_t> codes, uint8_t* column) {
  for (size_t i = 0; i < codes.size(); ++i) column[i / 2 * kPanel * 2 + i % 2] = codes[i];
}

void place_nibbles(std::span<const uint8_t> codes, uint8_t* column) {
  const auto nibble = [&](size_t i) { return i < codes.size() ? (codes[i] + 8) & 15 : 8; };
  for (size_t i = 0; i < codes.size(); i += 2)
    column[i / 2 * kPanel] = static_cast<uint8_t>(nibble(i) | nibble(i + 1) << 4);
}

}  // namespace

Weight Backend::pack_quantized(Tensor host, WeightFormat format, Tensor whole) {
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  const bool nibbles = format == WeightFormat::int4;
  const int64_t panels = (w.n + kPanel - 1) / kPanel;
  const int64_t panel_bytes = (w.k + 1) / 2 * kPanel * (nibbles ? 1 : 2);
  const int64_t groups = nibbles ? groups_of(w.k) : 1;
  w.data = allocate(static_cast<size_t>(panels * panel_bytes));
  w.scales =
      allocate(static_cast<size_t>(panels * groups * kPanel) * (nibbles ? sizeof(bf16) : sizeof(float)));
  pool_.parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    RowQuantizer rows(host, whole, format);
    for (int64_t row = begin * kPanel; row < std::min(end * kPanel, w.n); ++row) {
      const int64_t panel = row / kPanel, column = row % kPanel;
      rows.quantize(row);
      auto* codes = static_cast<uint8_t*>(w.data.data()) + panel * panel_bytes;
      if (!nibbles) {
        place_bytes(rows.codes(), codes + column * 2);
        static_cast<float*>(w.scales.data())[row] = rows.scales()[0];
        continue;
      }
      place_nibbles(rows.codes(), codes + column);
      auto* scales = static_cast<bf16*>(w.scales.data()) + panel * groups * kPanel + column;
      for (int64_t g = 0; g < groups; ++g) scales[g * kPanel] = bf16(rows.scales()[static_cast<size_t>(g)]);
    }
  });
  return w;
}

}  // namespace uhd::cpu
