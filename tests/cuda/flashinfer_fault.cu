// Compiles FlashInfer's plan once more with one thing wrong, in the namespace uhd::UHD_FAULT: the tests must
// see it.
#include <flashinfer/attention/prefill.cuh>

#include "kernels/cuda/vector.cuh"

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/launchers.h"

namespace uhd::UHD_FAULT {
using namespace uhd::cuda;

// This leaves no room for a tile that is not full.
constexpr int64_t narrow_first_slot(int64_t, int64_t token, int64_t group, int64_t tile) {
  return token * group / tile + 1;
}
}  // namespace uhd::UHD_FAULT

#define UHD_FAULT_shared_slots 1
#define UHD_FAULT_wrong_table_row 2
#define UHD_FAULT_wrong_lengths 3
#define UHD_FAULT_wrong_results 4
#define UHD_JOIN(a, b) a##b
#define UHD_NUMBER(name) UHD_JOIN(UHD_FAULT_, name)
#define UHD_FAULT_IS(name) UHD_NUMBER(UHD_FAULT) == UHD_FAULT_##name

#define cuda UHD_FAULT  // the namespace of the code below

#if UHD_FAULT_IS(shared_slots)
#define first_slot narrow_first_slot
#endif
#include "kernels/cuda/flashinfer_plan.cu"

#if UHD_FAULT_IS(wrong_table_row)
#define kv_indptr request_indices
#elif UHD_FAULT_IS(wrong_lengths)
#define kv_lengths q_offsets
#elif UHD_FAULT_IS(wrong_results)
#define o_indptr maybe_mask_indptr
#endif
#include "kernels/cuda/attention_flashinfer.cu"
