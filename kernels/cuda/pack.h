// Packs a host matrix in the storage format of cuda::Matmul, a few rows at a time.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cuda/matmul.h"
#include "kernels/cuda/quantized.h"

namespace uhd::cuda {

// PackedBytes are the bytes of a packed [N, K].
struct PackedBytes {
  size_t data = 0;
  size_t scales = 0;
};
constexpr PackedBytes packed_bytes(int64_t n, int64_t k, WeightFormat format) {
  if (!is_quantized(format)) {
    const int64_t element = format == WeightFormat::bf16 ? 2 : 4;
    return {static_cast<size_t>(n * weight_stride(k, format) * element), 0};
  }
  const int64_t packets = packets_of(k, format);
  const int64_t scales = format == WeightFormat::int4 ? n * packets * 2 : n * 4;
  return {static_cast<size_t>(rows_held(n, format) * packets * kPacketBytes), static_cast<size_t>(scales)};
}

// Writes the matrix into memory that it is lent, in order, rows of `stride` elements each, zero past K.
// room(least) lends at least so many bytes; send(first, bytes) takes rows [first, …) back from their
// beginning. A row of a mapped file is read once, here.
template <class Room, class Send>
void pack_rows(Tensor host, WeightFormat format, int64_t stride, const Room& room, const Send& send) {
  const int64_t n = host.dim(0), k = host.dim(1);
  const auto value = [&](int64_t row, int64_t i) {
    switch (host.dtype()) {
      case DType::bf16:
        return static_cast<float>(host.row<bf16>(row)[i]);
      case DType::f16:
        return static_cast<float>(host.row<f16>(row)[i]);
      default:
        return host.row<float>(row)[i];
    }
  };
  const auto pack_as = [&]<class T>(T zero) {
    const size_t row_bytes = static_cast<size_t>(stride) * sizeof(T);
    for (int64_t first = 0; first < n;) {
      const std::span<std::byte> lent = room(row_bytes);
      const int64_t count = std::min<int64_t>(n - first, static_cast<int64_t>(lent.size() / row_bytes));
      for (int64_t r = 0; r < count; ++r) {
        T* to = reinterpret_cast<T*>(lent.data()) + r * stride;
        if (host.dtype() == dtype_of<T>()) {
          std::copy_n(host.row<T>(first + r), k, to);
        } else {
          for (int64_t i = 0; i < k; ++i) to[i] = T(value(first + r, i));
        }
        std::fill(to + k, to + stride, zero);
      }
      send(first, static_cast<size_t>(count) * row_bytes);
      first += count;
    }
  };
  if (format == WeightFormat::bf16) {
    pack_as(bf16(0.0f));
  } else {
    pack_as(0.0f);
  }
}

// Lays out a row of codes as quantized.h describes.
inline void place_codes(std::span<const uint8_t> codes, WeightFormat format, std::byte* row) {
  if (format != WeightFormat::int4) {
    std::copy_n(reinterpret_cast<const std::byte*>(codes.data()), codes.size(), row);
    return;
  }
  std::fill_n(row, groups_of(static_cast<int64_t>(codes.size())) * kPacketBytes, std::byte{0x88});
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t word = i / 8, bit = i % 8 / 2 * 4 + i % 2 * 16;
    const auto nibble = static_cast<uint8_t>((codes[i] ^ 8) & 15);  // code + 8; the old value there is 8
    std::byte& to = row[word * 4 + bit / 8];
    const int shift = static_cast<int>(bit % 8);
    to = (to & static_cast<std::byte>(0xf0 >> shift)) | static_cast<std::byte>(nibble << shift);
  }
}

// Does the same for a quantized format; take(first, bytes) receives the caller's rows [first, …). Returns the
// scales [N] or [N, groups] as they are stored.
template <class Take>
std::vector<std::byte> pack_codes(Tensor host, Tensor whole, WeightFormat format, const Take& take) {
  constexpr int64_t kBatchBytes = int64_t{1} << 20;
  const int64_t n = host.dim(0), row_bytes = packets_of(host.dim(1), format) * kPacketBytes;
  const int64_t batch = std::clamp<int64_t>(kBatchBytes / row_bytes, 1, n);
  RowQuantizer quantizer(host, whole, format);
  std::vector<std::byte> rows(static_cast<size_t>(batch * row_bytes)), scales;
  const auto append = [&](auto value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    scales.insert(scales.end(), bytes.begin(), bytes.end());
  };
  for (int64_t first = 0; first < n; first += batch) {
    const int64_t count = std::min(batch, n - first);
    for (int64_t r = 0; r < count; ++r) {
      quantizer.quantize(first + r);
      place_codes(quantizer.codes(), format, rows.data() + r * row_bytes);
      for (const float scale : quantizer.scales()) {
        format == WeightFormat::int4 ? append(bf16(scale)) : append(scale);
      }
    }
    take(first, std::span<const std::byte>(rows).first(static_cast<size_t>(count * row_bytes)));
  }
  return scales;
}

}  // namespace uhd::cuda
