#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"

namespace uhd::cpu {

void Backend::argmax(Tensor ids, Tensor values, Tensor logits) {
  contracts::argmax(ids, values, logits);
  for_rows(logits.rows(), logits.dim(1), [&](int64_t r) {
    const int64_t best = table_.argmax(logits.row<float>(r), logits.dim(1));
    ids.data<int32_t>()[r] = static_cast<int32_t>(best);
    values.data<float>()[r] = logits.row<float>(r)[best];
  });
}

}  // namespace uhd::cpu
