#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"

namespace uhd::cpu {

void Backend::rms_norm(Tensor out, Tensor x, Tensor w, float eps) {
  contracts::rms_norm(out, x, w);
  for_rows(x.rows(), x.dim(1), [&](int64_t r) {
    table_.rms_norm(out.row<float>(r), x.row<float>(r), w.data<float>(), x.dim(1), eps);
  });
}

void Backend::add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out, float eps) {
  contracts::add_rms_norm(residual, x, w, out);
  for_rows(x.rows(), x.dim(1), [&](int64_t r) {
    float* sum = residual.row<float>(r);
    table_.add(sum, sum, x.row<float>(r), x.dim(1));
    table_.rms_norm(out.row<float>(r), sum, w.data<float>(), x.dim(1), eps);
  });
}

void Backend::layer_norm(Tensor out, Tensor x, Tensor w, Tensor b, float eps) {
  contracts::layer_norm(out, x, w, b);
  for_rows(x.rows(), x.dim(1), [&](int64_t r) {
    table_.layer_norm(out.row<float>(r), x.row<float>(r), w.data<float>(), b.data<float>(), x.dim(1), eps);
  });
}

}  // namespace uhd::cpu
