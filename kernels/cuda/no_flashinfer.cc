// Replaces attention_flashinfer.cu in a build without FlashInfer.
#include "base/error.h"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {

bool has_flashinfer() { return false; }

void paged_attention_flashinfer(cudaStream_t, Tensor, Tensor, KvLayer, const PagedSpans&, float, bool,
                                void*) {
  throw Error("this build is without FlashInfer");
}

}  // namespace uhd::cuda
