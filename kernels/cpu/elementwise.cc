#include "kernels/contracts.h"
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

void Backend::rope(Tensor q, Tensor k, Tensor positions, Tensor table) {
  contracts::rope(q, k, positions, table);
  const int64_t d = q.dim(2);
  for (int64_t t = 0; t < q.rows(); ++t) {
    const int64_t position = positions.data<int32_t>()[t];
    check(position >= 0 && position < table.rows(), "rope: position ", position, " of ", table.rows());
  }
  for_rows(q.rows(), q.row_size() + k.row_size(), [&](int64_t t) {
    const float* cosines = table.row<float>(positions.data<int32_t>()[t]);
    for (int64_t h = 0; h < q.dim(1); ++h)
      table_.rope(q.row<float>(t) + h * d, cosines, cosines + d / 2, d / 2);
    for (int64_t h = 0; h < k.dim(1); ++h)
      table_.rope(k.row<float>(t) + h * d, cosines, cosines + d / 2, d / 2);
  });
}

void Backend::silu_mul(Tensor out, Tensor gate_up) {
  contracts::silu_mul(out, gate_up);
  const int64_t n = out.dim(1);
  for_rows(out.rows(), 4 * n, [&](int64_t r) {
    table_.silu_mul(out.row<float>(r), gate_up.row<float>(r), gate_up.row<float>(r) + n, n);
  });
}

void Backend::add(Tensor out, Tensor a, Tensor b) {
  contracts::add(out, a, b);
  for_rows(out.rows(), out.dim(1), [&](int64_t r) {
    table_.add(out.row<float>(r), a.row<float>(r), b.row<float>(b.rows() == 1 ? 0 : r), out.dim(1));
  });
}

void Backend::cast(Tensor out, Tensor x) {
  contracts::cast(out, x);
  const int64_t n = x.row_size();
  for_rows(x.rows(), n, [&](int64_t r) {
    if (x.dtype() == DType::f32 && out.dtype() == DType::bf16)
      table_.to_bf16(&out.row<bf16>(r)->bits, x.row<float>(r), n);
    else if (x.dtype() == DType::bf16 && out.dtype() == DType::f32)
      table_.from_bf16(out.row<float>(r), &x.row<bf16>(r)->bits, n);
    else if (x.dtype() == DType::bf16)
      cast_row(out, x.row<bf16>(r), r, n);
    else if (x.dtype() == DType::f16)
      cast_row(out, x.row<f16>(r), r, n);
    else
      cast_row(out, x.row<float>(r), r, n);
  });
}

void Backend::finite_rows(Tensor flags, Tensor x) {
  contracts::finite_rows(flags, x);
  const int64_t n = x.dim(1);
  for_rows(x.rows(), n, [&](int64_t r) {
    const bool finite =
        x.dtype() == DType::bf16
            ? all_finite<uint16_t>(reinterpret_cast<const uint16_t*>(x.row<bf16>(r)), n, 0x7f80)
            : all_finite<uint32_t>(reinterpret_cast<const uint32_t*>(x.row<float>(r)), n, 0x7f800000);
    flags.data<int32_t>()[r] = finite ? 1 : 0;
  });
}

}  // namespace uhd::cpu
