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

// One block copies one row of the index: out[i] = x[index[i]].
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

void queue(cudaStream_t stream, const ops::Embed& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.out.dim(1));
  with_activation(op.out.dtype(), [&]<class T>() {
    with_float_type(op.table.dtype(), [&]<class From>() {
      const auto run = [&]<int N>() {
        launch(embed_rows<T, From, N>, blocks(op.out.rows(), 1), row_threads(columns / N), 0, stream,
               rows_of<T>(op.out), rows_of<const From>(op.table), op.ids.data<int32_t>(), op.first_id,
               op.table.rows(), columns);
      };
      if (columns % 8 == 0 && aligned_rows(op.out, op.table)) {
        run.template operator()<8>();
      } else {
        run.template operator()<1>();
      }
    });
  });
}

void queue(cudaStream_t stream, const ops::GatherRows& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(gather<T, N>, blocks(op.out.rows(), 1), row_threads(columns / N), 0, stream, rows_of<T>(op.out),
           rows_of<const T>(op.x), op.index.data<int32_t>(), static_cast<int>(op.x.rows()), columns);
  };
  with_width(columns, run, op.out, op.x);
}

void queue(cudaStream_t stream, const ops::ScatterRows& op) {
  if (op.rows.elements() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(scatter<T, N>, blocks(op.rows.rows(), 1), row_threads(columns / N), 0, stream, rows_of<T>(op.x),
           rows_of<const T>(op.rows), op.index.data<int32_t>(), static_cast<int>(op.x.rows()), columns);
  };
  with_width(columns, run, op.x, op.rows);
}

void queue(cudaStream_t stream, const ops::StoreKv& op) {
  check(op.pages.k.dense(), "pages are dense on a device");
  if (op.k.elements() == 0) return;
  const int columns = static_cast<int>(op.k.row_size());
  const int64_t slot_count = op.pages.k.dim(0) * op.pages.k.dim(1);
  with_activation(op.pages.k.dtype(), [&]<class Page>() {
    with_activation(op.k.dtype(), [&]<class T>() {
      const auto run = [&]<int N>() {
        launch(store_slots<Page, T, N>, blocks(op.k.rows(), 1), row_threads(columns / N), 0, stream,
               static_cast<Page*>(op.pages.k.raw()), static_cast<Page*>(op.pages.v.raw()),
               rows_of<const T>(op.k), rows_of<const T>(op.v), op.slots.data<int32_t>(), slot_count, columns);
      };
      // A slot is a row of k wide, so its place is aligned when k's rows are whole accesses.
      if (columns % 8 == 0 && aligned_rows(op.k, op.v, op.pages.k, op.pages.v)) {
        run.template operator()<8>();
      } else {
        run.template operator()<1>();
      }
    });
  });
}

void queue(cudaStream_t stream, const ops::CopyPages& op) {
  if (op.from.rows() == 0 || op.pages.k.elements() == 0) return;
  check(op.pages.k.dense(), "pages are dense on a device");
  constexpr int kThreads = 256;
  const int64_t elements = op.pages.k.row_size();
  check(op.from.rows() <= 65535, "at most 65535 pages are copied at once, not ", op.from.rows());
  const auto run = [&]<class T, int N>() {
    launch(copy_whole_pages<T, N>, dim3(blocks(elements / N, kThreads), blocks(op.from.rows(), 1)), kThreads,
           0, stream, static_cast<T*>(op.pages.k.raw()), static_cast<T*>(op.pages.v.raw()),
           op.from.data<int32_t>(), op.to.data<int32_t>(), static_cast<int>(op.pages.k.rows()), elements);
  };
  with_width(elements, run, op.pages.k, op.pages.v);
}

}  // namespace uhd::cuda
