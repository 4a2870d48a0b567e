// Compiles the kernels of peer_sum.cu once more with one thing broken, in the namespace uhd::UHD_FAULT: the
// tests must see it.
#include <algorithm>
#include <iterator>

#include "kernels/cuda/peer_epoch.cuh"
#include "kernels/cuda/peer_sum.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::UHD_FAULT {
using namespace uhd::cuda;

// Acts as if every flag stood far ahead.
inline uint32_t careless_load(const uint32_t* flag) { return load_acquire_system(flag) + (1u << 30); }
inline uint32_t same(uint32_t last) { return last; }
inline uint32_t zero(uint32_t) { return 0; }
}  // namespace uhd::UHD_FAULT

#define UHD_FAULT_no_wait 1
#define UHD_FAULT_no_block_barrier 2
#define UHD_FAULT_one_half 3
#define UHD_FAULT_stale_epoch 4
#define UHD_FAULT_no_second_meeting 5
#define UHD_JOIN(a, b) a##b
#define UHD_NUMBER(name) UHD_JOIN(UHD_FAULT_, name)
#define UHD_FAULT_IS(name) UHD_NUMBER(UHD_FAULT) == UHD_FAULT_##name

#define cuda UHD_FAULT  // the namespace of the code below

#if UHD_FAULT_IS(no_wait)
#define load_acquire_system careless_load
#elif UHD_FAULT_IS(no_block_barrier)
#define __syncthreads() static_cast<void>(0)
#elif UHD_FAULT_IS(one_half)
#define half_of_call zero
#elif UHD_FAULT_IS(stale_epoch)
#define epoch_behind_call same
#elif UHD_FAULT_IS(no_second_meeting)
#define epoch_of_sums epoch_of_values
#endif
#include "kernels/cuda/peer_sum.cu"
