#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

// This comes behind device.cuh, which marks its functions for the device.
#include "kernels/bilinear.h"

namespace uhd::cuda {
namespace {

constexpr int kThreads = 256;

// One block a patch of one slice: (pixel / 255 − mean) / deviation, ordered channel, row, column.
template <class T>
__global__ void patchify_slice(RowsOf<T> out_rows, const uint8_t* __restrict__ pixels, int width, int patch,
                               PatchNormalisation normalisation) {
  const int columns = width / patch;
  const int64_t top = static_cast<int64_t>(blockIdx.x / columns) * patch;
  const int64_t left = static_cast<int64_t>(blockIdx.x % columns) * patch;
  T* out = out_rows[blockIdx.x];
  for (int i = threadIdx.x; i < 3 * patch * patch; i += blockDim.x) {
    const int channel = i / (patch * patch), y = i / patch % patch, x = i % patch;
    const float value = pixels[((top + y) * width + left + x) * 3 + channel];
    out[i] = from_float<T>((value / 255.0f - normalisation.mean[channel]) / normalisation.deviation[channel]);
  }
}

// One block a cell of the grid [h, w]: the sum over 4 x 4 cells of the square table.
template <class T, int N>
__global__ void interpolate_cells(RowsOf<T> out, RowsOf<const T> table, int h, int w, int side, int columns) {
  const CubicAt y(static_cast<int>(blockIdx.x) / w, h, side);
  const CubicAt x(static_cast<int>(blockIdx.x) % w, w, side);
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float sum[N] = {};
    for (int r = 0; r < 4; ++r) {
      float row[N] = {}, v[N];
      for (int c = 0; c < 4; ++c) {
        load_floats(v, table[y.at[r] * side + x.at[c]] + i);
#pragma unroll
        for (int j = 0; j < N; ++j) row[j] += x.weight[c] * v[j];
      }
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += y.weight[r] * row[j];
    }
    store_floats(out[blockIdx.x] + i, sum);
  }
}

// One block a bin of a grid: the mean of its bilinear samples.
template <class T, int N>
__global__ void align_bins(RowsOf<T> out_rows, RowsOf<const T> x, AlignGrid g, int columns) {
  const int bins = g.bin_rows * g.bin_columns;
  const int window = static_cast<int>(blockIdx.x) / bins, bin = static_cast<int>(blockIdx.x) % bins;
  const AlignWindow w(g, window / g.window_columns, window % g.window_columns);
  T* out = out_rows[g.first_out + blockIdx.x];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float sum[N] = {}, v[N];
    for (int sy = 0; sy < w.samples_y; ++sy) {
      for (int sx = 0; sx < w.samples_x; ++sx) {
        const Bilinear at(w.y(bin / g.bin_columns, sy), w.x(bin % g.bin_columns, sx), g.rows, g.columns);
        for (int corner = 0; corner < 4; ++corner) {
          load_floats(v, x[g.first_row + at.at[corner]] + i);
#pragma unroll
          for (int j = 0; j < N; ++j) sum[j] += at.weight[corner] * v[j];
        }
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] /= w.samples();
    store_floats(out + i, sum);
  }
}

}  // namespace

void queue(cudaStream_t stream, const ops::Patchify& op) {
  int64_t first = 0;
  for (const PixelSlice& s : op.slices) {
    const int64_t patches = int64_t{s.width / op.patch} * (s.height / op.patch);
    with_activation(op.out.dtype(), [&]<class T>() {
      launch(patchify_slice<T>, blocks(patches, 1), kThreads, 0, stream,
             rows_of<T>(op.out.slice_rows(first, patches)), op.pixels.data<uint8_t>() + s.offset, s.width,
             op.patch, op.normalisation);
    });
    first += patches;
  }
}

void queue(cudaStream_t stream, const ops::InterpolatePositions& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.out.dim(1));
  int side = 1;
  while (int64_t{side} * side < op.table.rows()) ++side;
  const auto run = [&]<class T, int N>() {
    launch(interpolate_cells<T, N>, blocks(op.out.rows(), 1), row_threads(columns / N), 0, stream,
           rows_of<T>(op.out), rows_of<const T>(op.table), op.h, op.w, side, columns);
  };
  with_width(columns, run, op.out, op.table);
}

void queue(cudaStream_t stream, const ops::RegionAlign& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.out.dim(1));
  for (const AlignGrid& g : op.grids) {
    const int64_t bins = int64_t{g.window_rows} * g.window_columns * g.bin_rows * g.bin_columns;
    const auto run = [&]<class T, int N>() {
      launch(align_bins<T, N>, blocks(bins, 1), row_threads(columns / N), 0, stream, rows_of<T>(op.out),
             rows_of<const T>(op.x), g, columns);
    };
    with_width(columns, run, op.out, op.x);
  }
}

}  // namespace uhd::cuda
