// This file is the one seam between kernels and the code that runs them: nvcc's on a device, or emulation/ on
// the host. Kernel files write neither <<<>>> nor extern __shared__ nor PTX; they call the functions below.
//
// In emulation a kernel argument may be a pointer, a number, or a struct of them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/check.h"

#define UHD_DEVICE_FUNCTION __host__ __device__  // for kernels/math.h
#include "kernels/math.h"

#ifdef __CUDACC__

namespace uhd::cuda {

// Runs `kernel` over the grid on the stream. It raises the kernel's limit if it needs more than 48 KiB of
// dynamic shared memory.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            const A&... args) {
  if (shared_bytes > size_t{48} << 10) {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "asking for shared memory");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<std::decay_t<P>>(args)...),
             "launching a kernel");
}

// Returns the block's dynamic shared memory, 16-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char uhd_dynamic_shared[];
  return reinterpret_cast<T*>(uhd_dynamic_shared);
}

// Returns N elements of shared memory of the block, one array for each Tag. They are uninitialised.
template <class T, int N, class Tag>
__device__ T* block_array() {
  __shared__ __align__(16) T array[N];
  return array;
}

// Checks an invariant of data on the device. If it is broken the kernel ends, and the next wait for the
// stream is an error.
__device__ inline void device_check(bool condition) {
  if (!condition) __trap();
}

// These make one aligned access of 4, 8 or 16 bytes.
template <class V>
__device__ V load_aligned(const void* p) {
  return *static_cast<const V*>(p);
}
template <class V>
__device__ void store_aligned(void* p, const V& value) {
  *static_cast<V*>(p) = value;
}

__device__ inline float fast_exp(float x) { return __expf(x); }
__device__ inline float fast_exp2(float x) { return exp2f(x); }
__device__ inline float reciprocal_sqrt(float x) { return rsqrtf(x); }

// Wraps mma.sync.m16n8k16, bf16 in, f32 sums: d += a·b. PTX ISA, "Matrix Fragments for mma.m16n8k16".
__device__ inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Wraps ldmatrix.x4, which loads four 8x8 matrices of 16-bit elements. Lane i gives the address of row i % 8
// of matrix i / 8, and gets elements (row lane / 4, columns 2 (lane % 4) and the next) of each. `transposed`
// swaps rows and columns.
__device__ inline void load_matrix_x4(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// Wraps cp.async of 16 bytes from global to shared memory, the last 16 - valid_bytes of them zero; groups
// work as in the instruction. Before other threads use the data, a barrier is needed as well.
__device__ inline void copy_async_16(void* shared, const void* global, int valid_bytes = 16) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(valid_bytes)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int GroupsLeft>
__device__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GroupsLeft) : "memory");
}

// These access flags in memory that other devices, or the host, read and write meanwhile. A thread that loads
// the stored value sees everything that the storing thread had written before, and everything its block had
// written before a barrier; nothing that is read after the load is older. PTX ISA, "Memory Consistency
// Model", scope .sys.
__device__ inline void store_release_system(uint32_t* flag, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
__device__ inline uint32_t load_acquire_system(const uint32_t* flag) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}
// Stands between two looks at a flag: on a device every lane goes on by itself.
__device__ inline void pause_lane() {}
__device__ inline uint64_t clock_ns() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

}  // namespace uhd::cuda

#else  // the host: emulation/

#include <cmath>
#include <cstring>
#include <vector>

#include "emulation/cuda.h"

namespace uhd::cuda {

// Appends the bytes of an argument as 8-byte words, for the check that buffers are still there. Padding is
// cleared: stale bytes of a stack behind a small number can look like an address. Where a compiler cannot
// clear it, structures that may have some are left out.
template <class T>
void append_words(std::vector<uint64_t>& words, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&value);
#else
  if constexpr (std::is_class_v<T> && !std::has_unique_object_representations_v<T>) return;
#endif
  const size_t first = words.size();
  words.resize(first + (sizeof(T) + 7) / 8);
  std::memcpy(words.data() + first, &value, sizeof(T));
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            const A&... args) {
  const std::tuple<std::decay_t<P>...> bound(static_cast<std::decay_t<P>>(args)...);
  std::vector<uint64_t> words;
  std::apply([&](const auto&... values) { (append_words(words, values), ...); }, bound);
  check_cuda(emulation::launch(
                 grid, block, shared_bytes, stream, [=] { std::apply(kernel, bound); }, std::move(words)),
             "launching a kernel");
}

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulation::dynamic_shared());
}

template <class T, int N, class Tag>
T* block_array() {
  alignas(16) static thread_local T array[N];
  emulation::use_in_block(array, sizeof(array));
  return array;
}

inline void device_check(bool condition, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!condition) emulation::fail_lane("an invariant of data on the device is broken", file, line);
}

template <class V>
V load_aligned(const void* p, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulation::require_aligned(p, sizeof(V), file, line);
  V value;
  std::memcpy(&value, p, sizeof(V));
  return value;
}
template <class V>
void store_aligned(void* p, const V& value, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  emulation::require_aligned(p, sizeof(V), file, line);
  std::memcpy(p, &value, sizeof(V));
}

inline float fast_exp(float x) { return std::exp(x); }
inline float fast_exp2(float x) { return std::exp2(x); }
inline float reciprocal_sqrt(float x) { return 1.0f / std::sqrt(x); }

inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::mma_m16n8k16(d, a, b);
}
inline void load_matrix_x4(uint32_t (&r)[4], const void* row) { emulation::load_matrix_x4(r, row, false); }
inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* row) {
  emulation::load_matrix_x4(r, row, true);
}

inline void copy_async_16(void* shared, const void* global, int valid_bytes = 16) {
  emulation::copy_async(shared, global, 16, valid_bytes);
}
inline void commit_copies() { emulation::commit_copies(); }
template <int GroupsLeft>
void wait_copies() {
  emulation::wait_copies(GroupsLeft);
}

inline void store_release_system(uint32_t* flag, uint32_t value) { emulation::store_flag(flag, value); }
inline uint32_t load_acquire_system(const uint32_t* flag) { return emulation::load_flag(flag); }
inline void pause_lane() { emulation::pause_lane(); }
inline uint64_t clock_ns() { return emulation::clock_ns(); }

}  // namespace uhd::cuda

#endif
