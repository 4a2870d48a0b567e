// Runs causal attention over paged keys and values: prefill chunks and decode in one call.
//
// Pages are [page, Hk, D], in which a token's heads lie as store_kv got them. The query heads that share a
// key head are rows of one task: row r of a sequence and key head is token r / group, head r % group of the
// group.
#include "kernels/cuda/attention_row.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {
namespace {

template <class T, class KV>
struct PagedArguments {
  T* out;
  const T* q;
  int64_t out_stride, q_stride;  // elements between rows
  const KV* k;
  const KV* v;
  const int32_t* q_offsets;
  const int32_t* kv_lengths;
  const int32_t* page_table;
  int64_t table_stride;
  int sequences;
  int rows;  // of q
  int page;  // tokens of a page
  int pages;
  int table_pages;  // of one sequence
  int heads;
  int kv_heads;
  int d;
  float scale;
  float* partials;  // [S, Hk, splits] results of splits, where there are several
  int splits;
};

// A Span is one sequence and key head.
struct Span {
  int first_row;  // in q
  int tokens;     // that ask
  int before;     // tokens of the sequence before them
  int group;
  int head;  // first query head
  __device__ int rows() const { return tokens * group; }
  // Keys that row r sees.
  __device__ int limit(int r) const { return before + r / group + 1; }
  __device__ int64_t place(int r, int64_t stride, int d) const {
    return (first_row + r / group) * stride + (head + r % group) * d;
  }
};

template <class A>
__device__ Span span_of(const A& a, int s, int kv_head) {
  const int first = a.q_offsets[s], tokens = a.q_offsets[s + 1] - first;
  const int keys = a.kv_lengths[s];
  device_check(0 <= first && 0 <= tokens && first + tokens <= a.rows && tokens <= keys &&
               keys <= int64_t{a.table_pages} * a.page);
  const int group = a.heads / a.kv_heads;
  return {first, tokens, keys - tokens, group, kv_head * group};
}

// Locates the tokens of a sequence, for one key head.
struct Pages {
  const int32_t* table;
  int page;
  int pages;
  int64_t token;  // elements between tokens of a page
  int64_t head;   // from a token to its head
  __device__ int64_t page_start(int index) const {
    const int at = table[index];
    device_check(0 <= at && at < pages);
    return int64_t{at} * page * token + head;
  }
  __device__ int64_t place(int key) const { return page_start(key / page) + key % page * token; }
};

template <class A>
__device__ Pages pages_of(const A& a, int s, int kv_head) {
  return {a.page_table + s * a.table_stride, a.page, a.pages, int64_t{a.kv_heads} * a.d,
          int64_t{kv_head} * a.d};
}

// One warp computes one row and query head.
template <class T, class KV>
__global__ void __launch_bounds__(kRowWarps* kWarp, 1) paged_rows(PagedArguments<T, KV> a) {
  const int64_t task = int64_t{blockIdx.x} * kRowWarps + threadIdx.x / kWarp;
  const int row = static_cast<int>(task / a.heads);
  const int head = static_cast<int>(task % a.heads);
  if (row >= a.rows) return;
  const int s = segment_of(a.q_offsets, a.sequences, row);
  if (s < 0) return;
  const int kv_head = head / (a.heads / a.kv_heads);
  const Span span = span_of(a, s, kv_head);
  const Pages pages = pages_of(a, s, kv_head);
  const int column = head * a.d;
  attend_row<T, KV>(
      a.out + row * a.out_stride + column, a.q + row * a.q_stride + column,
      span.before + row - span.first_row + 1, a.d, a.scale, [&](int j) { return a.k + pages.place(j); },
      [&](int j) { return a.v + pages.place(j); });
}

using TileArguments = PagedArguments<Bf16, Bf16>;

// Copies of the tile of keys [at, end), at a multiple of 64. A tile inside one page needs one look at the
// table.
template <int D>
__device__ void copy_paged_tile(Bf16* k_tile, Bf16* v_tile, const TileArguments& a, const Pages& pages,
                                int at, int end) {
  if (pages.page % kTileKeys == 0) {
    const int64_t start = pages.page_start(at / pages.page) + at % pages.page * pages.token;
    copy_tile<D>(k_tile, v_tile, a.k + start, a.v + start, end - at, a.d, [&](int j) {
      return KeyPlace{j * pages.token, j * pages.token};
    });
  } else {
    copy_tile<D>(k_tile, v_tile, a.k, a.v, end - at, a.d, [&](int j) {
      const int64_t place = pages.place(at + j);
      return KeyPlace{place, place};
    });
  }
}

// This is prefill. One block takes 64 rows of one sequence and key head: grid (row tiles, Hk, S), those with
// the most keys first.
template <int D>
__global__ void __launch_bounds__(kTileThreads, 2) paged_tiles(TileArguments a) {
  const Span span = span_of(a, blockIdx.z, blockIdx.y);
  const Pages pages = pages_of(a, blockIdx.z, blockIdx.y);
  constexpr int kRows = kTileWarps * kWarpRows;
  const int row_tiles = gridDim.x, rows = span.rows();
  device_check(rows <= row_tiles * kRows);
  const int tile_row = (row_tiles - 1 - static_cast<int>(blockIdx.x)) * kRows;
  if (rows <= kSplitRows || tile_row >= rows) return;

  const int warp_row = tile_row + static_cast<int>(threadIdx.x / kWarp) * kWarpRows;
  const int own = warp_row + static_cast<int>(threadIdx.x % kWarp / 4);
  const bool mine[2] = {own < rows, own + 8 < rows};
  const Bf16* const queries[2] = {mine[0] ? a.q + span.place(own, a.q_stride, a.d) : nullptr,
                                  mine[1] ? a.q + span.place(own + 8, a.q_stride, a.d) : nullptr};
  QueryRows<D> r;
  start(r, queries, a.d);
  const int limits[2] = {mine[0] ? span.limit(own) : 0, mine[1] ? span.limit(own + 8) : 0};
  const auto last_of = [&](int first, int count) {
    return first < rows ? span.limit((first + count < rows ? first + count : rows) - 1) : 0;
  };
  const int warp_keys = last_of(warp_row, kWarpRows), keys = last_of(tile_row, kRows);
  const float scale_log2 = a.scale * kLog2e;
  for_tiles<D>((keys + kTileKeys - 1) / kTileKeys,
               [&](int tile, Bf16* k_tile, Bf16* v_tile) {
                 copy_paged_tile<D>(k_tile, v_tile, a, pages, tile * kTileKeys, keys);
               },
               [&](int tile, const Bf16* k_tile, const Bf16* v_tile) {
                 const int at = tile * kTileKeys;
                 if (at >= warp_keys) return;  // the whole warp
                 const int limit[2] = {limits[0] - at, limits[1] - at};
                 attend<D, kTileKeys>(r, k_tile, v_tile, limit, scale_log2);
               });
  if (warp_row >= rows) return;
  finish(r);
  Bf16* const outs[2] = {mine[0] ? a.out + span.place(own, a.out_stride, a.d) : nullptr,
                         mine[1] ? a.out + span.place(own + 8, a.out_stride, a.d) : nullptr};
  store(r, outs, a.d);
}

// One result of 16 rows: of a warp in shared memory, of a split in global memory.
struct Partial {
  float* at;
  int d;
  __device__ float* sums(int row) const { return at + row * d; }
  __device__ float& maximum(int row) const { return at[kSplitRows * d + row]; }
  __device__ float& total(int row) const { return at[kSplitRows * (d + 1) + row]; }
};

template <int D>
__device__ void keep(const Partial& to, const QueryRows<D>& r, int rows) {
  const int lane = threadIdx.x % kWarp, t = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = lane / 4 + 8 * i;
    if (row >= rows) continue;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      if (n * 8 >= to.d) continue;
      to.sums(row)[n * 8 + 2 * t] = r.sums[n][2 * i];
      to.sums(row)[n * 8 + 2 * t + 1] = r.sums[n][2 * i + 1];
    }
    if (t == 0) {
      to.maximum(row) = r.maxima[i];
      to.total(row) = r.totals[i];
    }
  }
}

// Column `column` of a row over `count` partial results: sum, maximum and total as if of one.
struct Merged {
  float sum = 0.0f, top = kNoScore, total = 0.0f;
};
template <class At>
__device__ Merged merge(int count, int row, int column, float scale_log2, const At& partial) {
  Merged m;
  for (int i = 0; i < count; ++i) m.top = fmaxf(m.top, partial(i).maximum(row));
  for (int i = 0; i < count; ++i) {
    const Partial p = partial(i);
    const float top = p.maximum(row);
    if (top == kNoScore) continue;  // this row sees none of these keys
    const float weight = fast_exp2((top - m.top) * scale_log2);
    m.sum = fmaf(p.sums(row)[column], weight, m.sum);
    m.total = fmaf(p.total(row), weight, m.total);
  }
  return m;
}

__device__ inline Bf16 share(const Merged& m) {
  return from_float<Bf16>(m.total == 0.0f ? 0.0f : m.sum / m.total);
}

__device__ inline Partial split_partial(const TileArguments& a, int split, int kv_head, int s) {
  const int64_t index = (int64_t{s} * a.kv_heads + kv_head) * a.splits + split;
  return {a.partials + index * partial_floats(a.d), a.d};
}

// This is decoding. One block takes one split of the keys of one sequence and key head: grid (splits, Hk, S).
// Each warp takes all rows over a quarter of each tile's keys.
template <int D>
__global__ void __launch_bounds__(kTileThreads, 3) paged_splits(TileArguments a) {
  const Span span = span_of(a, blockIdx.z, blockIdx.y);
  const Pages pages = pages_of(a, blockIdx.z, blockIdx.y);
  const int rows = span.rows(), keys = span.before + span.tokens;
  const int each = split_keys(keys, a.splits, kTileKeys);
  const int first = blockIdx.x * each, end = keys < first + each ? keys : first + each;
  if (rows == 0 || rows > kSplitRows || first >= keys) return;

  const int warp = threadIdx.x / kWarp, own = threadIdx.x % kWarp / 4;
  const bool mine[2] = {own < rows, own + 8 < rows};
  const Bf16* const queries[2] = {mine[0] ? a.q + span.place(own, a.q_stride, a.d) : nullptr,
                                  mine[1] ? a.q + span.place(own + 8, a.q_stride, a.d) : nullptr};
  QueryRows<D> r;
  start(r, queries, a.d);
  constexpr int kWarpKeys = kTileKeys / kTileWarps;
  const int limits[2] = {mine[0] ? span.limit(own) : 0, mine[1] ? span.limit(own + 8) : 0};
  const float scale_log2 = a.scale * kLog2e;
  for_tiles<D>((end - first + kTileKeys - 1) / kTileKeys,
               [&](int tile, Bf16* k_tile, Bf16* v_tile) {
                 copy_paged_tile<D>(k_tile, v_tile, a, pages, first + tile * kTileKeys, end);
               },
               [&](int tile, const Bf16* k_tile, const Bf16* v_tile) {
                 const int part = warp * kWarpKeys * kTileStride<D>;
                 const int at = first + tile * kTileKeys + warp * kWarpKeys;
                 if (at >= end) return;  // the whole warp
                 const int limit[2] = {limits[0] - at, limits[1] - at};
                 attend<D, kWarpKeys>(r, k_tile + part, v_tile + part, limit, scale_log2);
               });
  finish(r);
  __syncthreads();  // the tiles have been read; their memory holds the warps' results now
  const auto warp_partial = [&](int w) {
    return Partial{dynamic_shared<float>() + w * kSplitRows * (D + 2), a.d};
  };
  keep(warp_partial(warp), r, rows);
  __syncthreads();
  const bool alone = each >= keys;
  const Partial to = split_partial(a, blockIdx.x, blockIdx.y, blockIdx.z);
  for (int i = threadIdx.x; i < rows * a.d; i += kTileThreads) {
    const int row = i / a.d, column = i % a.d;
    const Merged m = merge(kTileWarps, row, column, scale_log2, warp_partial);
    if (alone) {
      a.out[span.place(row, a.out_stride, a.d) + column] = share(m);
      continue;
    }
    to.sums(row)[column] = m.sum;
    if (column == 0) {
      to.maximum(row) = m.top;
      to.total(row) = m.total;
    }
  }
}

// The splits' results to one. One block per row of one sequence and key head: grid (rows, Hk, S).
__global__ void __launch_bounds__(kTileThreads, 2) merge_splits(TileArguments a) {
  const Span span = span_of(a, blockIdx.z, blockIdx.y);
  const int rows = span.rows(), row = blockIdx.x, keys = span.before + span.tokens;
  const int each = split_keys(keys, a.splits, kTileKeys);
  if (row >= rows || rows > kSplitRows || each >= keys) return;
  const int count = (keys + each - 1) / each;
  Bf16* out = a.out + span.place(row, a.out_stride, a.d);
  for (int column = threadIdx.x; column < a.d; column += kTileThreads) {
    out[column] = share(merge(count, row, column, a.scale * kLog2e,
                              [&](int i) { return split_partial(a, i, blockIdx.y, blockIdx.z); }));
  }
}

template <class T, class KV>
PagedArguments<T, KV> arguments(Tensor out, Tensor q, const KvLayer& pages, const PagedSpans& spans,
                                float scale) {
  return {.out = static_cast<T*>(out.raw()),
          .q = static_cast<const T*>(q.raw()),
          .out_stride = out.row_stride(),
          .q_stride = q.row_stride(),
          .k = static_cast<const KV*>(pages.k.raw()),
          .v = static_cast<const KV*>(pages.v.raw()),
          .q_offsets = spans.q_offsets.data<int32_t>(),
          .kv_lengths = spans.kv_lengths.data<int32_t>(),
          .page_table = spans.page_table.data<int32_t>(),
          .table_stride = spans.page_table.row_stride(),
          .sequences = static_cast<int>(spans.kv_lengths.dim(0)),
          .rows = static_cast<int>(q.rows()),
          .page = static_cast<int>(pages.k.dim(1)),
          .pages = static_cast<int>(pages.k.rows()),
          .table_pages = static_cast<int>(spans.page_table.dim(1)),
          .heads = static_cast<int>(q.dim(1)),
          .kv_heads = static_cast<int>(pages.k.dim(2)),
          .d = static_cast<int>(q.dim(2)),
          .scale = scale,
          .partials = nullptr,
          .splits = 1};
}

template <class T, class KV>
void launch_rows(cudaStream_t stream, const PagedArguments<T, KV>& a) {
  const int64_t warps = int64_t{a.rows} * a.heads;
  launch(paged_rows<T, KV>, dim3(static_cast<unsigned>((warps + kRowWarps - 1) / kRowWarps)),
         dim3(kRowWarps * kWarp), row_shared_bytes(a.d), stream, a);
}

}  // namespace

void paged_attention_rows(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                          float scale) {
  if (q.elements() == 0 || spans.kv_lengths.dim(0) == 0) return;
  const bool f32 = q.dtype() == DType::f32;
  if (pages.k.dtype() == DType::f32) {
    if (f32)
      launch_rows(stream, arguments<float, float>(out, q, pages, spans, scale));
    else
      launch_rows(stream, arguments<Bf16, float>(out, q, pages, spans, scale));
  } else {
    if (f32)
      launch_rows(stream, arguments<float, Bf16>(out, q, pages, spans, scale));
    else
      launch_rows(stream, arguments<Bf16, Bf16>(out, q, pages, spans, scale));
  }
}

void paged_attention_splits(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                            float scale, int splits, float* partials) {
  if (q.elements() == 0 || spans.kv_lengths.dim(0) == 0) return;
  auto a = arguments<Bf16, Bf16>(out, q, pages, spans, scale);
  a.splits = splits;
  a.partials = partials;
  const auto sequences = static_cast<unsigned>(a.sequences), kv_heads = static_cast<unsigned>(a.kv_heads);
  const int most_rows = spans.max_q * (a.heads / a.kv_heads);
  if (sequences == 1 && most_rows > kSplitRows) return;
  with_tile_head(a.d, [&](auto head) {
    constexpr int kD = decltype(head)::value;
    launch(paged_splits<kD>, dim3(static_cast<unsigned>(splits), kv_heads, sequences), dim3(kTileThreads),
           kTileBytes<kD>, stream, a);
  });
  if (splits > 1)
    launch(merge_splits, dim3(static_cast<unsigned>(std::min(most_rows, kSplitRows)), kv_heads, sequences),
           dim3(kTileThreads), 0, stream, a);
}

void paged_attention_tiles(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                           float scale, int splits, float* partials) {
  if (q.elements() == 0 || spans.kv_lengths.dim(0) == 0) return;
  const auto a = arguments<Bf16, Bf16>(out, q, pages, spans, scale);
  const int most_rows = spans.max_q * (a.heads / a.kv_heads);
  constexpr int kRows = kTileWarps * kWarpRows;
  const dim3 grid(static_cast<unsigned>((most_rows + kRows - 1) / kRows), static_cast<unsigned>(a.kv_heads),
                  static_cast<unsigned>(a.sequences));
  if (most_rows > kSplitRows)
    with_tile_head(a.d, [&](auto head) {
      constexpr int kD = decltype(head)::value;
      launch(paged_tiles<kD>, grid, dim3(kTileThreads), kTileBytes<kD>, stream, a);
    });
  paged_attention_splits(stream, out, q, pages, spans, scale, splits, partials);
}

}  // namespace uhd::cuda
