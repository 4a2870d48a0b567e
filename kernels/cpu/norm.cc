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

void Backend::perform(const ops::HeadNorm& op) {
  const int64_t d = op.q.dim(2);
  const auto norm = [&](float* head, const Tensor& w) {
    table_.rms_norm(head, head, w.data<float>(), d, op.eps);
  };
  for_rows(op.q.rows(), op.q.row_size() + op.k.row_size(), [&](int64_t t) {
    for (int64_t h = 0; h < op.q.dim(1); ++h) norm(op.q.row<float>(t) + h * d, op.q_w);
    for (int64_t h = 0; h < op.k.dim(1); ++h) norm(op.k.row<float>(t) + h * d, op.k_w);
  });
}

}  // namespace uhd::cpu
