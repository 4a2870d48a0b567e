#include "kernels/cpu/backend.h"

namespace uhd::cpu {

void Backend::perform(const ops::RmsNorm& op) {
  for_rows(op.x.rows(), op.x.dim(1), [&](int64_t r) {
    table_.rms_norm(op.out.row<float>(r), op.x.row<float>(r), op.w.data<float>(), op.x.dim(1), op.eps);
  });
}

void Backend::perform(const ops::AddRmsNorm& op) {
  for_rows(op.x.rows(), op.x.dim(1), [&](int64_t r) {
    float* sum = op.residual.row<float>(r);
    table_.add(sum, sum, op.x.row<float>(r), op.x.dim(1));
    table_.rms_norm(op.out.row<float>(r), sum, op.w.data<float>(), op.x.dim(1), op.eps);
  });
}

void Backend::perform(const ops::LayerNorm& op) {
  for_rows(op.x.rows(), op.x.dim(1), [&](int64_t r) {
    table_.layer_norm(op.out.row<float>(r), op.x.row<float>(r), op.w.data<float>(), op.b.data<float>(),
                      op.x.dim(1), op.eps);
  });
}

}  // namespace uhd::cpu
