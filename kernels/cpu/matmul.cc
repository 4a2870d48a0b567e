// Packs weights, and runs matmul as tasks over panels.
//
// PanelLayout (panel_layout.h) says how panels lie, with N padded to 64 by zeros. One copy serves every
// number of rows, because the inner loop reads in this order. quantized.cc packs quantized weights.
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/panel_layout.h"
#include "kernels/quantize.h"

namespace uhd::cpu {
namespace {

int64_t panels_of(int64_t n) { return (n + kPanel - 1) / kPanel; }

// The loop over a panel, and the bytes of its scales.
struct PanelForm {
  void (*loop)(const PanelJob&);
  int64_t scale_bytes;
};

PanelForm form_of(const Table& table, int64_t k, WeightFormat format, bool codes) {
  switch (format) {
    case WeightFormat::f32:
      return {table.panel_f32, 0};
    case WeightFormat::bf16:
      return {table.panel_bf16, 0};
    case WeightFormat::fp8:
      return {table.panel_fp8, kPanel * 4};
    case WeightFormat::int8:
      return {codes ? table.panel_int8_codes : table.panel_int8, kPanel * 4};
    case WeightFormat::int4:
      break;
  }
  return {table.panel_int4, groups_of(k) * kPanel * 2};
}

// memcpy, because the elements of a mapped file need not be aligned.
template <class From, class To>
void convert(To* out, const std::byte* in, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    From x;
    std::memcpy(&x, in + i * static_cast<int64_t>(sizeof x), sizeof x);
    out[i] = To(static_cast<float>(x));
  }
}

template <class To>
void convert(To* out, DType dtype, const std::byte* in, int64_t n) {
  switch (dtype) {
    case DType::bf16:
      return convert<bf16>(out, in, n);
    case DType::f16:
      return convert<f16>(out, in, n);
    default:
      return convert<float>(out, in, n);
  }
}

constexpr int64_t kTileRows = 16;   // of a tile
constexpr int64_t kRowUnits = 16;   // of a row of a tile
constexpr int64_t kPackUnits = 64;  // of a row at a time: the part of the panel being written stays in cache

// Up to kPackUnits units of one row: where they lie if they lie there as units, else made in `made`.
const std::byte* units_at(std::span<const Tensor> rows, int64_t row, int64_t first, int64_t count,
                          WeightFormat format, uint32_t* made) {
  const Tensor* part = find_row(rows, row);
  const bool pairs = format == WeightFormat::bf16;
  const int64_t first_element = pairs ? first * 2 : first;
  const int64_t elements =
      part == nullptr ? 0 : std::min(pairs ? count * 2 : count, part->dim(1) - first_element);
  if (part == nullptr || elements < (pairs ? count * 2 : count))
    std::memset(made, 0, static_cast<size_t>(count) * 4);
  if (part == nullptr) return reinterpret_cast<const std::byte*>(made);
  const auto size = static_cast<int64_t>(size_of(part->dtype()));
  const std::byte* in =
      static_cast<const std::byte*>(part->raw()) + (row * part->row_stride() + first_element) * size;
  const bool as_it_is = part->dtype() == (pairs ? DType::bf16 : DType::f32);
  if (as_it_is && elements == (pairs ? count * 2 : count)) return in;
  if (as_it_is) {
    std::memcpy(made, in, static_cast<size_t>(elements * size));
  } else if (pairs) {
    convert(reinterpret_cast<bf16*>(made), part->dtype(), in, elements);
  } else {
    convert(reinterpret_cast<float*>(made), part->dtype(), in, elements);
  }
  return reinterpret_cast<const std::byte*>(made);
}

using Quad = uint32_t __attribute__((vector_size(16)));

// Units [first, first + count) of four rows become four neighbouring columns of lines that lie `step` apart.
void place_units(uint32_t* out, int64_t step, const std::byte* const (&rows)[4], int64_t first,
                 int64_t count) {
  int64_t u = 0;
  for (; u + 4 <= count; u += 4) {
    Quad r[4];
    for (int i = 0; i < 4; ++i) std::memcpy(&r[i], rows[i] + (first + u) * 4, sizeof(Quad));
    const Quad a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    const Quad b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    const Quad c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    const Quad d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    const Quad columns[4] = {
        __builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
        __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) std::memcpy(out + (u + i) * step, &columns[i], sizeof(Quad));
  }
  for (; u < count; ++u)
    for (int i = 0; i < 4; ++i) std::memcpy(out + u * step + i, rows[i] + (first + u) * 4, 4);
}

void pack_panel(std::span<const Tensor> rows, int64_t panel, int64_t units, const PanelLayout& layout,
                WeightFormat format, uint32_t* out) {
  uint32_t made[4][kPackUnits];
  const int64_t together = layout.tiles ? kRowUnits : kPackUnits;  // units that lie `step` apart
  for (int64_t first = 0; first < units; first += kPackUnits) {
    const int64_t count = std::min(kPackUnits, units - first);
    for (int64_t c = 0; c < kPanel; c += 4) {
      const std::byte* four[4];
      for (int64_t i = 0; i < 4; ++i)
        four[i] = units_at(rows, panel * kPanel + c + i, first, count, format, made[i]);
      for (int64_t u = 0; u < count; u += together)
        place_units(out + layout.at(first + u, c), layout.step(), four, u, std::min(together, count - u));
    }
  }
}

// A task should be long beside the cost of handing it out, and there should be enough of them to balance.
int64_t panels_a_task(int64_t panels, int threads) { return std::max<int64_t>(1, panels / (threads * 8)); }

// Rows of a block of tiles: its x fits the second-level cache, and blocks are of whole strips.
int64_t tile_rows(int64_t rows, int64_t units) {
  constexpr int64_t kBytes = 768 << 10, kStrip = 2 * kTileRows;
  const int64_t most = std::clamp<int64_t>(kBytes / (units * 4) / kStrip * kStrip, 2 * kStrip, kPanelRows);
  const int64_t blocks = (rows + most - 1) / most;
  return blocks <= 1 ? most : round_up((rows + blocks - 1) / blocks, kStrip);
}

}  // namespace

// Rows of x as operands of a product. Vectors take rows of units; tiles take [rows / 16][units / 16][16 rows]
// [16 units], with zeros beyond K, and old contents of memory beyond the last row.
struct Operand {
  std::byte* memory;
  bool tiles;
  int64_t units;  // of a row; in tiles a multiple of kRowUnits

  // Not a power of two for vectors: rows fall into different cache sets.
  int64_t stride() const { return tiles ? units * kTileRows : round_up(units, 16) + 16; }
  int64_t held_rows(int64_t rows) const { return tiles ? round_up(rows, 2 * kTileRows) : rows; }
  size_t bytes(int64_t rows) const {
    return static_cast<size_t>(held_rows(rows) * (tiles ? units : stride()) * 4);
  }
  std::byte* row(int64_t r) const { return memory + (tiles ? r / kTileRows : r) * stride() * 4; }

  // `used` bytes of a row, in tiles from a buffer.
  void place_tiles(int64_t r, const std::byte* from, int64_t first, int64_t count) const {
    for (int64_t u = first; u < first + count; u += kRowUnits)
      std::memcpy(row(r) + (u * kTileRows + r % kTileRows * kRowUnits) * 4, from + (u - first) * 4,
                  kRowUnits * 4);
  }
};

std::optional<PackedSizes> Backend::packed_sizes(int64_t n, int64_t k, WeightFormat format) const {
  const int64_t panels = panels_of(n);
  return PackedSizes{static_cast<size_t>(panels * PanelLayout(format, k, table_.tiles).panel_bytes()),
                     static_cast<size_t>(panels * form_of(table_, k, format, false).scale_bytes)};
}

Weight Backend::do_pack(Tensor host, WeightFormat format, Tensor whole) {
  if (is_quantized(format)) return pack_quantized({&host, 1}, format, host.rows(), whole);
  return do_pack_parts({&host, 1}, format, host.rows());
}

Weight Backend::do_pack_parts(std::span<const Tensor> parts, WeightFormat format, int64_t rows) {
  if (is_quantized(format)) return pack_quantized(parts, format, rows, {});
  Weight w{format, rows, parts.front().dim(1), {}, {}};
  const PanelLayout layout(format, w.k, table_.tiles);
  const int64_t units = (w.k + layout.together - 1) / layout.together;
  w.data = allocate(packed_sizes(w.n, w.k, format)->data);  // zeros, which stay beyond K
  pool_.parallel_for(panels_of(w.n), 1, [&](int64_t panel, int64_t) {
    pack_panel(parts, panel, units, layout, format,
               static_cast<uint32_t*>(w.data.data()) + panel * layout.lines * kPanel);
  });
  return w;
}

// Rounds x to bfloat16 where the product takes pairs.
Operand Backend::pairs_of(Tensor x) {
  const int64_t k = x.dim(1);
  Operand to{nullptr, table_.tiles, PanelLayout(WeightFormat::bf16, k, table_.tiles).lines};
  to.memory = activations_.take(to.bytes(x.rows()));
  for_rows(x.rows(), k, [&](int64_t r) {
    if (!to.tiles) {
      auto* row = reinterpret_cast<uint16_t*>(to.row(r));
      table_.to_bf16(row, x.row<float>(r), k);
      if (k % 2 != 0) row[k] = 0;
      return;
    }
    uint16_t part[2 * kPackUnits];
    for (int64_t first = 0; first < to.units; first += kPackUnits) {
      const int64_t count = std::min(kPackUnits, to.units - first);
      const int64_t elements = std::min(2 * count, k - 2 * first);
      table_.to_bf16(part, x.row<float>(r) + 2 * first, elements);
      std::fill(part + elements, part + 2 * count, uint16_t{0});
      to.place_tiles(r, reinterpret_cast<const std::byte*>(part), first, count);
    }
  });
  return to;
}

// Makes codes of x, in units of four, with what they are of each row in `rows`.
Operand Backend::codes_of(Tensor x, std::span<RowCodes>& rows) {
  const int64_t k = x.dim(1);
  check(k < kMostCodes, "matmul: ", k, " inputs are too many for sums of codes");
  Operand to{nullptr, table_.tiles, PanelLayout(WeightFormat::int8, k, table_.tiles).lines};
  const size_t bytes = (to.bytes(x.rows()) + 63) / 64 * 64;
  to.memory = activations_.take(bytes + static_cast<size_t>(x.rows()) * sizeof(RowCodes));
  rows = {reinterpret_cast<RowCodes*>(to.memory + bytes), static_cast<size_t>(x.rows())};
  for_rows(x.rows(), k, [&](int64_t r) {
    if (!to.tiles) {
      auto* codes = reinterpret_cast<int8_t*>(to.row(r));
      rows[r] = table_.to_int8(codes, x.row<float>(r), k);
      std::fill(codes + k, codes + to.units * 4, int8_t{0});
      return;
    }
    thread_local std::vector<int8_t> codes;
    codes.assign(static_cast<size_t>(to.units) * 4, 0);
    rows[r] = table_.to_int8(codes.data(), x.row<float>(r), k);
    to.place_tiles(r, reinterpret_cast<const std::byte*>(codes.data()), 0, to.units);
  });
  return to;
}

void Backend::perform(const ops::Matmul& op) {
  const int64_t rows = op.x.rows();
  const bool plain = op.w.format == WeightFormat::f32;
  const bool codes = op.w.format == WeightFormat::int8 && (quantize_activations_ || op.w.codes_only);
  std::span<RowCodes> row_codes;
  const Operand rounded = plain ? Operand{} : codes ? codes_of(op.x, row_codes) : pairs_of(op.x);
  const std::byte* x = plain ? static_cast<const std::byte*>(op.x.raw()) : rounded.memory;
  const int64_t x_stride = plain ? op.x.row_stride() : rounded.stride();
  const int64_t units = plain ? op.w.k : rounded.units;
  const PanelForm form = form_of(table_, op.w.k, op.w.format, codes);
  const PanelLayout layout(op.w.format, op.w.k, table_.tiles);
  const auto* data = static_cast<const std::byte*>(op.w.data.data());
  const auto* scales = static_cast<const std::byte*>(op.w.scales.data());
  const float* bias = op.options.bias.empty() ? nullptr : op.options.bias.data<float>();
  const int64_t panels = panels_of(op.w.n);
  const int64_t block = layout.tiles ? tile_rows(rows, units) : kPanelRows;
  const int64_t blocks = (rows + block - 1) / block;
  // Blocks of rows of a panel follow one another, so that the panel comes from memory once. By tiles the
  // panels of a block of rows do: there the second-level cache keeps x.
  pool_.parallel_for(panels * blocks, panels_a_task(panels, pool_.size()) * blocks,
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const int64_t p = layout.tiles ? i % panels : i / blocks;
                         const int64_t first = (layout.tiles ? i / panels : i % blocks) * block;
                         form.loop({.out = op.out.row<float>(first) + p * kPanel,
                                    .out_stride = op.out.row_stride(),
                                    .x = x + (layout.tiles ? first / kTileRows : first) * x_stride * 4,
                                    .x_stride = x_stride,
                                    .panel = data + p * layout.panel_bytes(),
                                    .units = units,
                                    .rows = std::min(block, rows - first),
                                    .columns = std::min<int64_t>(kPanel, op.w.n - p * kPanel),
                                    .bias = bias == nullptr ? nullptr : bias + p * kPanel,
                                    .epilogue = op.options.epilogue,
                                    .scales = scales == nullptr ? nullptr : scales + p * form.scale_bytes,
                                    .row_codes = codes ? row_codes.data() + first : nullptr});
                       }
                     });
}

}  // namespace uhd::cpu
