// Packs weights, and runs matmul as tasks over panels.
//
// The packed layout is [N/64][K][64] floats or [N/64][K/2][64][2] bfloat16, with N padded to 64 and K to even
// with zeros. One copy serves every number of rows, because the inner loop reads in this order. quantized.cc
// packs quantized weights.
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/quantize.h"

namespace uhd::cpu {
namespace {

int64_t panels_of(int64_t n) { return (n + kPanel - 1) / kPanel; }
int64_t units_of(int64_t k, WeightFormat format) { return format == WeightFormat::f32 ? k : (k + 1) / 2; }

// The loop over a panel, and the bytes of one of its units and of the scales of a panel.
struct PanelForm {
  void (*loop)(const PanelJob&);
  int64_t unit_bytes;
  int64_t scale_bytes;
};

PanelForm form_of(const Table& table, const Weight& w) {
  switch (w.format) {
    case WeightFormat::f32:
      return {table.panel_f32, 4, 0};
    case WeightFormat::bf16:
      return {table.panel_bf16, 4, 0};
    case WeightFormat::fp8:
      return {table.panel_fp8, 2, kPanel * 4};
    case WeightFormat::int8:
      return {table.panel_int8, 2, kPanel * 4};
    case WeightFormat::int4:
      break;
  }
  return {table.panel_int4, 1, groups_of(w.k) * kPanel * 2};
}

template <class T>
uint16_t as_bf16(T x) {
  return bf16(static_cast<float>(x)).bits;
}
template <>
uint16_t as_bf16(bf16 x) {
  return x.bits;
}

// Source rows are read a few columns at a time, so that the lines of the panel being written stay in cache.
template <class T>
void pack_panel(const T* source, int64_t stride, int64_t columns, int64_t k, WeightFormat format, void* out) {
  constexpr int64_t kBlock = 64;
  for (int64_t first = 0; first < k; first += kBlock) {
    const int64_t last = std::min(first + kBlock, k);
    for (int64_t c = 0; c < columns; ++c) {
      const T* row = source + c * stride;
      if (format == WeightFormat::f32) {
        float* to = static_cast<float*>(out) + c;
        for (int64_t i = first; i < last; ++i) to[i * kPanel] = static_cast<float>(row[i]);
      } else {
        uint16_t* to = static_cast<uint16_t*>(out) + c * 2;
        for (int64_t i = first; i < last; ++i) to[i / 2 * kPanel * 2 + i % 2] = as_bf16(row[i]);
      }
    }
  }
}

void pack_panel(const Tensor& host, int64_t panel, WeightFormat format, void* out) {
  const int64_t columns = std::min<int64_t>(kPanel, host.dim(0) - panel * kPanel);
  const auto pack = [&](const auto* rows) {
    pack_panel(rows + panel * kPanel * host.row_stride(), host.row_stride(), columns, host.dim(1), format,
               out);
  };
  switch (host.dtype()) {
    case DType::bf16:
      return pack(host.data<bf16>());
    case DType::f16:
      return pack(host.data<f16>());
    default:
      return pack(host.data<float>());
  }
}

// A task should be long beside the cost of handing it out, and there should be enough of them to balance.
int64_t panels_a_task(int64_t panels, int threads) { return std::max<int64_t>(1, panels / (threads * 8)); }

}  // namespace

Weight Backend::do_pack(Tensor host, WeightFormat format, Tensor whole) {
  if (is_quantized(format)) return pack_quantized(host, format, whole);
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  const int64_t panel_bytes = units_of(w.k, format) * kPanel * 4;
  w.data = allocate(static_cast<size_t>(panels_of(w.n) * panel_bytes));
  pool_.parallel_for(panels_of(w.n), 1, [&](int64_t panel, int64_t) {
    pack_panel(host, panel, format, static_cast<std::byte*>(w.data.data()) + panel * panel_bytes);
  });
  return w;
}

void Backend::perform(const ops::Matmul& op) {
  const int64_t rows = op.x.rows();
  const int64_t units = units_of(op.w.k, op.w.format);
  const std::byte* a = static_cast<const std::byte*>(op.x.raw());
  int64_t a_stride = op.x.row_stride();
  if (op.w.format != WeightFormat::f32) {
    a_stride = (units + 15) / 16 * 16 + 16;  // not a power of two: rows fall into different cache sets
    std::byte* rounded = activations_.take(static_cast<size_t>(rows * a_stride * 4));
    for_rows(rows, op.w.k, [&](int64_t r) {
      uint16_t* row = reinterpret_cast<uint16_t*>(rounded + r * a_stride * 4);
      table_.to_bf16(row, op.x.row<float>(r), op.w.k);
      if (op.w.k % 2 != 0) row[op.w.k] = 0;
    });
    a = rounded;
  }
  const PanelForm form = form_of(table_, op.w);
  const auto* codes = static_cast<const std::byte*>(op.w.data.data());
  const auto* scales = static_cast<const std::byte*>(op.w.scales.data());
  const int64_t panels = panels_of(op.w.n);
  const float* bias = op.options.bias.empty() ? nullptr : op.options.bias.data<float>();
  // Row chunks of a panel follow one another, so that the panel comes from memory once.
  pool_.parallel_for(panels, panels_a_task(panels, pool_.size()), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t first = 0; first < rows; first += kPanelRows) {
        form.loop({.out = op.out.row<float>(first) + p * kPanel,
                   .out_stride = op.out.row_stride(),
                   .x = a + first * a_stride * 4,
                   .x_stride = a_stride,
                   .panel = codes + p * units * kPanel * form.unit_bytes,
                   .units = units,
                   .rows = std::min<int64_t>(kPanelRows, rows - first),
                   .columns = std::min<int64_t>(kPanel, op.w.n - p * kPanel),
                   .bias = bias == nullptr ? nullptr : bias + p * kPanel,
                   .epilogue = op.options.epilogue,
                   .scales = scales == nullptr ? nullptr : scales + p * form.scale_bytes});
      }
    }
  });
}

}  // namespace uhd::cpu
