// Compiles the attention kernels once more with one thing broken, in the namespace uhd::UHD_FAULT: the tests
// must see it.
#include "kernels/cuda/attention_row.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace uhd::UHD_FAULT {
using namespace uhd::cuda;

template <int GroupsLeft>
void careless_wait() {}
// Rows and columns of the left operand's quarters exchanged.
inline void exchanged_mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const uint32_t exchanged[4] = {a[0], a[2], a[1], a[3]};
  mma_m16n8k16(d, exchanged, b);
}
}  // namespace uhd::UHD_FAULT

#define UHD_FAULT_no_tile_barrier 1
#define UHD_FAULT_no_merge_barrier 2
#define UHD_FAULT_no_copy_wait 3
#define UHD_FAULT_wrong_fragment 4
#define UHD_FAULT_no_transpose 5
#define UHD_JOIN(a, b) a##b
#define UHD_NUMBER(name) UHD_JOIN(UHD_FAULT_, name)
#define UHD_FAULT_IS(name) UHD_NUMBER(UHD_FAULT) == UHD_FAULT_##name

#define cuda UHD_FAULT  // the namespace of the code below

#if UHD_FAULT_IS(no_tile_barrier)
#define __syncthreads() static_cast<void>(0)
#elif UHD_FAULT_IS(no_copy_wait)
#define wait_copies careless_wait
#elif UHD_FAULT_IS(wrong_fragment)
#define mma_m16n8k16 exchanged_mma
#elif UHD_FAULT_IS(no_transpose)
#define load_matrix_x4_transposed load_matrix_x4
#endif
#include "kernels/cuda/attention_tile.cuh"

#undef __syncthreads
#if UHD_FAULT_IS(no_merge_barrier)
#define __syncthreads() static_cast<void>(0)
#endif
#include "kernels/cuda/attention_packed.cu"
#include "kernels/cuda/attention_paged.cu"
