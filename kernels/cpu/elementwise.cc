#include "kernels/cpu/backend.h"

namespace uhd::cpu {
namespace {

template <class To, class From>
void convert_row(To* out, const From* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<To>(static_cast<float>(x[i]));
}

template <class From>
void cast_row(Tensor out, const From* x, int64_t row, int64_t n) {
  switch (out.dtype()) {
    case DType::bf16:
      return convert_row(out.row<bf16>(row), x, n);
    case DType::f16:
      return convert_row(out.row<f16>(row), x, n);
    default:
      return convert_row(out.row<float>(row), x, n);
  }
}

// A loop over integers, which the compiler makes of vectors.
template <class Bits>
bool all_finite(const Bits* x, int64_t n, Bits exponent) {
  Bits found = 0;
  for (int64_t i = 0; i < n; ++i) found |= (x[i] & exponent) == exponent ? 1 : 0;
  return found == 0;
}

}  // namespace

void Backend::perform(const ops::Rope& op) {
  const int64_t d = op.q.dim(2);
  for (int64_t t = 0; t < op.q.rows(); ++t) {
    const int64_t position = op.positions.data<int32_t>()[t];
    check(position >= 0 && position < op.table.rows(), "rope: position ", position, " of ", op.table.rows());
  }
  for_rows(op.q.rows(), op.q.row_size() + op.k.row_size(), [&](int64_t t) {
    const float* cosines = op.table.row<float>(op.positions.data<int32_t>()[t]);
    for (int64_t h = 0; h < op.q.dim(1); ++h)
      table_.rope(op.q.row<float>(t) + h * d, cosines, cosines + d / 2, d / 2);
    for (int64_t h = 0; h < op.k.dim(1); ++h)
      table_.rope(op.k.row<float>(t) + h * d, cosines, cosines + d / 2, d / 2);
  });
}

void Backend::perform(const ops::SiluMul& op) {
  const int64_t n = op.out.dim(1);
  for_rows(op.out.rows(), 4 * n, [&](int64_t r) {
    table_.silu_mul(op.out.row<float>(r), op.gate_up.row<float>(r), op.gate_up.row<float>(r) + n, n);
  });
}

void Backend::perform(const ops::Add& op) {
  for_rows(op.out.rows(), op.out.dim(1), [&](int64_t r) {
    table_.add(op.out.row<float>(r), op.a.row<float>(r), op.b.row<float>(op.b.rows() == 1 ? 0 : r),
               op.out.dim(1));
  });
}

void Backend::perform(const ops::Cast& op) {
  const int64_t n = op.x.row_size();
  for_rows(op.x.rows(), n, [&](int64_t r) {
    if (op.x.dtype() == DType::f32 && op.out.dtype() == DType::bf16)
      table_.to_bf16(&op.out.row<bf16>(r)->bits, op.x.row<float>(r), n);
    else if (op.x.dtype() == DType::bf16 && op.out.dtype() == DType::f32)
      table_.from_bf16(op.out.row<float>(r), &op.x.row<bf16>(r)->bits, n);
    else if (op.x.dtype() == DType::bf16)
      cast_row(op.out, op.x.row<bf16>(r), r, n);
    else if (op.x.dtype() == DType::f16)
      cast_row(op.out, op.x.row<f16>(r), r, n);
    else
      cast_row(op.out, op.x.row<float>(r), r, n);
  });
}

void Backend::perform(const ops::FiniteRows& op) {
  const int64_t n = op.x.dim(1);
  for_rows(op.x.rows(), n, [&](int64_t r) {
    const bool finite =
        op.x.dtype() == DType::bf16
            ? all_finite<uint16_t>(reinterpret_cast<const uint16_t*>(op.x.row<bf16>(r)), n, 0x7f80)
            : all_finite<uint32_t>(reinterpret_cast<const uint32_t*>(op.x.row<float>(r)), n, 0x7f800000);
    op.flags.data<int32_t>()[r] = finite ? 1 : 0;
  });
}

}  // namespace uhd::cpu
