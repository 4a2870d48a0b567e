#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

// Copies `count` elements with the whole block.
template <class T, int N>
__device__ void copy_row(T* to, const T* from, int64_t count) {
  for (int64_t i = threadIdx.x * N; i < count; i += blockDim.x * N)
    store_aligned(to + i, load_aligned<Packed<T, N>>(from + i));
}

// One block a token: its row of the table, or zeros when the id belongs to another shard.
template <class T, class From, int N>
__global__ void embed_rows(RowsOf<T> out_rows, RowsOf<const From> table, const int* __restrict__ ids,
                           int64_t first_id, int64_t table_rows, int columns) {
  const int64_t id = ids[blockIdx.x] - first_id;
  const bool here = id >= 0 && id < table_rows;
  T* out = out_rows[blockIdx.x];
  const From* row = table[here ? id : 0];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float v[N] = {};
    if (here) load_floats(v, row + i);
    store_floats(out + i, v);
  }
}

// One block a row of the index: out[i] = x[index[i]].
template <class T, int N>
__global__ void gather(RowsOf<T> out, RowsOf<const T> x, const int* __restrict__ index, int x_rows,
                       int columns) {
  const int from = index[blockIdx.x];
  device_check(from >= 0 && from < x_rows);
  copy_row<T, N>(out[blockIdx.x], x[from], columns);
}

// One block a row of the index: x[index[i]] = rows[i].
template <class T, int N>
__global__ void scatter(RowsOf<T> x, RowsOf<const T> rows, const int* __restrict__ index, int x_rows,
                        int columns) {
  const int to = index[blockIdx.x];
  device_check(to >= 0 && to < x_rows);
  copy_row<T, N>(x[to], rows[blockIdx.x], columns);
}

// One block a token: its keys and values into their slot; pages lie as [slots, Hk·D].
template <class Page, class T, int N>
__global__ void store_slots(Page* __restrict__ k_pages, Page* __restrict__ v_pages, RowsOf<const T> k_rows,
                            RowsOf<const T> v_rows, const int* __restrict__ slots, int64_t slot_count,
                            int columns) {
  const int64_t slot = slots[blockIdx.x];
  device_check(slot >= 0 && slot < slot_count);
  const T* k = k_rows[blockIdx.x];
  const T* v = v_rows[blockIdx.x];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float key[N], value[N];
    load_floats(key, k + i);
    load_floats(value, v + i);
    store_floats(k_pages + slot * columns + i, key);
    store_floats(v_pages + slot * columns + i, value);
  }
}

// y: pages to copy; x: their pieces. pages[to] = pages[from], for keys and values.
template <class T, int N>
__global__ void copy_whole_pages(T* k_pages, T* v_pages, const int* __restrict__ from,
                                 const int* __restrict__ to, int page_count, int64_t page_elements) {
  const int64_t source = from[blockIdx.y], target = to[blockIdx.y];
  device_check(source >= 0 && source < page_count && target >= 0 && target < page_count);
  if (source == target) return;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i >= page_elements) return;
  for (T* pages : {k_pages, v_pages})
    store_aligned(pages + target * page_elements + i,
                  load_aligned<Packed<T, N>>(pages + source * page_elements + i));
}

}  // namespace

void embed(cudaStream_t stream, Tensor out, Tensor table, Tensor ids, int64_t first_id) {
  if (out.elements() == 0) return;
  const int columns = static_cast<int>(out.dim(1));
  with_activation(out.dtype(), [&]<class T>() {
    with_float_type(table.dtype(), [&]<class From>() {
      const auto run = [&]<int N>() {
        launch(embed_rows<T, From, N>, blocks(out.rows(), 1), row_threads(columns / N), 0, stream,
               rows_of<T>(out), rows_of<const From>(table), ids.data<int32_t>(), first_id, table.rows(),
               columns);
      };
      if (columns % 8 == 0 && aligned_rows(out, table)) {
        run.template operator()<8>();
      } else {
        run.template operator()<1>();
      }
    });
  });
}

void gather_rows(cudaStream_t stream, Tensor out, Tensor x, Tensor index) {
  if (out.elements() == 0) return;
  const int columns = static_cast<int>(x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(gather<T, N>, blocks(out.rows(), 1), row_threads(columns / N), 0, stream, rows_of<T>(out),
           rows_of<const T>(x), index.data<int32_t>(), static_cast<int>(x.rows()), columns);
  };
  with_width(columns, run, out, x);
}

void scatter_rows(cudaStream_t stream, Tensor x, Tensor rows, Tensor index) {
  if (rows.elements() == 0) return;
  const int columns = static_cast<int>(x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(scatter<T, N>, blocks(rows.rows(), 1), row_threads(columns / N), 0, stream, rows_of<T>(x),
           rows_of<const T>(rows), index.data<int32_t>(), static_cast<int>(x.rows()), columns);
  };
  with_width(columns, run, x, rows);
}

void store_kv(cudaStream_t stream, KvLayer pages, Tensor k, Tensor v, Tensor slots) {
  if (k.elements() == 0) return;
  const int columns = static_cast<int>(k.row_size());
  const int64_t slot_count = pages.k.dim(0) * pages.k.dim(1);
  with_activation(pages.k.dtype(), [&]<class Page>() {
    with_activation(k.dtype(), [&]<class T>() {
      const auto run = [&]<int N>() {
        launch(store_slots<Page, T, N>, blocks(k.rows(), 1), row_threads(columns / N), 0, stream,
               static_cast<Page*>(pages.k.raw()), static_cast<Page*>(pages.v.raw()), rows_of<const T>(k),
               rows_of<const T>(v), slots.data<int32_t>(), slot_count, columns);
      };
      // A slot is a row of k wide, so its place is aligned when k's rows are whole accesses.
      if (columns % 8 == 0 && aligned_rows(k, v, pages.k, pages.v)) {
        run.template operator()<8>();
      } else {
        run.template operator()<1>();
      }
    });
  });
}

void copy_pages(cudaStream_t stream, KvLayer pages, Tensor from, Tensor to) {
  if (from.rows() == 0 || pages.k.elements() == 0) return;
  constexpr int kThreads = 256;
  const int64_t elements = pages.k.row_size();
  check(from.rows() <= 65535, "at most 65535 pages are copied at once, not ", from.rows());
  const auto run = [&]<class T, int N>() {
    launch(copy_whole_pages<T, N>, dim3(blocks(elements / N, kThreads), blocks(from.rows(), 1)), kThreads, 0,
           stream, static_cast<T*>(pages.k.raw()), static_cast<T*>(pages.v.raw()), from.data<int32_t>(),
           to.data<int32_t>(), static_cast<int>(pages.k.rows()), elements);
  };
  with_width(elements, run, pages.k, pages.v);
}

}  // namespace uhd::cuda
