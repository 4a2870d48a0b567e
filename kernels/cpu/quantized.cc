// Packs quantized weights: panels are as PanelLayout (panel_layout.h) says, a line being a pair of codes of
// fp8, four codes of int8, or a byte with a pair of nibbles of int4, the first of the pair low, that hold
// code + 8.
//
// Scales of fp8 and int8 are f32 [N/64][64], those of int4 bfloat16 [N/64][K/kGroup][64].
#include <cstring>
#include <optional>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/panel_layout.h"
#include "kernels/quantize.h"

namespace uhd::cpu {
namespace {

static_assert(kGroup == 2 * kGroupUnits);

void place_codes(std::span<const uint8_t> codes, const PanelLayout& layout, int64_t column, uint8_t* panel) {
  const auto size = static_cast<int64_t>(codes.size());
  if (layout.line_bytes > 1) {
    const auto place = [&](int64_t line, size_t bytes) {
      std::memcpy(panel + layout.at(line, column) * layout.line_bytes, codes.data() + line * layout.together,
                  bytes);
    };
    for (int64_t line = 0; line < size / layout.together; ++line)
      place(line, static_cast<size_t>(layout.together));
    if (size % layout.together != 0)
      place(size / layout.together, static_cast<size_t>(size % layout.together));
    return;
  }
  const auto nibble = [&](int64_t i) { return i < size ? (codes[i] + 8) & 15 : 8; };
  for (int64_t line = 0; line < layout.lines; ++line)
    panel[layout.at(line, column)] = static_cast<uint8_t>(nibble(2 * line) | nibble(2 * line + 1) << 4);
}

}  // namespace

Weight Backend::pack_quantized(std::span<const Tensor> parts, WeightFormat format, int64_t rows,
                               Tensor whole) {
  Weight w{format, rows, parts.front().dim(1), {}, {}};
  const PanelLayout layout(format, w.k, table_.tiles);
  const bool grouped = format == WeightFormat::int4;
  const int64_t panels = (w.n + kPanel - 1) / kPanel;
  const int64_t groups = grouped ? groups_of(w.k) : 1;
  const PackedSizes sizes = *packed_sizes(w.n, w.k, format);
  w.data = allocate(sizes.data);
  w.scales = allocate(sizes.scales);
  pool_.parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    std::optional<RowQuantizer> quantizer;
    const Tensor* quantized = nullptr;  // the part that it reads
    for (int64_t row = begin * kPanel; row < std::min(end * kPanel, w.n); ++row) {
      const int64_t panel = row / kPanel, column = row % kPanel;
      auto* codes = static_cast<uint8_t*>(w.data.data()) + panel * layout.panel_bytes();
      int64_t at = row;
      const Tensor* part = find_row(parts, at);
      if (part == nullptr) {  // zeros below the last part, with zero scales
        place_codes({}, layout, column, codes);
        continue;
      }
      if (part != quantized) quantizer.emplace(*part, whole, format);
      quantized = part;
      quantizer->quantize(at);
      place_codes(quantizer->codes(), layout, column, codes);
      if (!grouped) {
        static_cast<float*>(w.scales.data())[row] = quantizer->scales()[0];
        continue;
      }
      auto* scales = static_cast<bf16*>(w.scales.data()) + panel * groups * kPanel + column;
      for (int64_t g = 0; g < groups; ++g)
        scales[g * kPanel] = bf16(quantizer->scales()[static_cast<size_t>(g)]);
    }
  });
  return w;
}

}  // namespace uhd::cpu
