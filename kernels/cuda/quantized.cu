#include "kernels/cuda/quantized.h"

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

using Packet = Packed<uint32_t, 4>;

// Two values that bfloat16 holds exactly.
__device__ inline uint32_t exact_pair(float low, float high) {
  return bits_as<uint32_t>(low) >> 16 | (bits_as<uint32_t>(high) & 0xffff0000u);
}

// expand: a packet as pairs of bfloat16, neighbours in order. kScaled: times their scale, else the codes
// alone.
struct Fp8Codes {
  using Scale = float;
  static constexpr int kPairs = 8;
  static constexpr bool kScaled = false;
  static __device__ float value(uint32_t code) {  // the exponents' biases differ by 120
    return bits_as<float>((code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f;
  }
  static __device__ void expand(uint32_t (&pairs)[kPairs], const Packet& packet, float) {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const uint32_t word = packet.values[i / 2] >> (i % 2 * 16);
      pairs[i] = exact_pair(value(word), value(word >> 8));
    }
  }
};

struct Int8Codes {
  using Scale = float;
  static constexpr int kPairs = 8;
  static constexpr bool kScaled = false;
  // 2^23 + code + 128 is a float with the code in its last byte.
  static __device__ float value(uint32_t code) {
    return bits_as<float>(0x4b000000u | (code & 0xffu)) - 8388736.0f;
  }
  static __device__ void expand(uint32_t (&pairs)[kPairs], const Packet& packet, float) {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const uint32_t word = (packet.values[i / 2] ^ 0x80808080u) >> (i % 2 * 16);
      pairs[i] = exact_pair(value(word), value(word >> 8));
    }
  }
};

struct Int4Codes {
  using Scale = Bf16;
  static constexpr int kPairs = 16;
  static constexpr bool kScaled = true;
  // 128 + nibble is a bfloat16 with the nibble in its last bits; nibbles are codes + 8.
  static __device__ void expand(uint32_t (&pairs)[kPairs], const Packet& packet, Bf16 scale) {
    const __nv_bfloat162 zero = __float2bfloat162_rn(136.0f), scales = __halves2bfloat162(scale, scale);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const uint32_t word = (packet.values[i / 4] >> (i % 4 * 4) & 0x000f000fu) | 0x43004300u;
      pairs[i] = bits_as<uint32_t>(__hmul2(__hsub2(bits_as<__nv_bfloat162>(word), zero), scales));
    }
  }
};

template <class Codes>
struct CodedRows {
  const unsigned char* codes;
  const typename Codes::Scale* scales;  // one a row, or one a packet where Codes::kScaled
  int packets;                          // of a row
  int rows;                             // N

  // A packet of a row as pairs; zeros past the row's end.
  __device__ void load(uint32_t (&pairs)[Codes::kPairs], int row, int packet) const {
    if (packet >= packets) {
#pragma unroll
      for (int i = 0; i < Codes::kPairs; ++i) pairs[i] = 0;
      return;
    }
    const int64_t at = static_cast<int64_t>(row) * packets + packet;
    Codes::expand(pairs, load_aligned<Packet>(codes + at * kPacketBytes), scales[Codes::kScaled ? at : row]);
  }
};

constexpr int kOutputs = 16;  // of a block
constexpr int kMostWarps = 8;

// One block for 16 outputs and up to 8·Tiles rows of x; its warps share K, four packets at a time, and add
// their sums in shared memory. Lane 4g + t holds packet t of outputs g and g + 8, and the same columns of row
// g of x: what the fragments of m16n8k16 call column c of a step is column 4·step + … of the lane's own
// packet, in both operands alike, so that every access is 16 bytes and nothing passes through shared memory.
template <class Codes, int Tiles, class Out>
__global__ void few_rows(RowsOf<Out> out, RowsOf<const Bf16> x, CodedRows<Codes> w,
                         const float* __restrict__ bias, int rows, bool add) {
  constexpr int kPairs = Codes::kPairs;
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  const int g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
  const int first = blockIdx.x * kOutputs, last = w.rows - 1;
  const int low_row = first + g < last ? first + g : last,
            high_row = first + g + 8 < last ? first + g + 8 : last;
  float sums[Tiles][4] = {};
#pragma unroll 2
  for (int chunk = warp * 4; chunk < w.packets; chunk += warps * 4) {
    const int packet = chunk + t;
    uint32_t low[kPairs], high[kPairs];
    w.load(low, low_row, packet);
    w.load(high, high_row, packet);
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
      const int row = tile * 8 + g;
      const bool here = row < rows && packet < w.packets;
      const Bf16* from = x[here ? row : 0] + (here ? static_cast<int64_t>(packet) * (2 * kPairs) : 0);
#pragma unroll
      for (int part = 0; part < kPairs / 4; ++part) {
        Packet columns{};
        if (here) columns = load_aligned<Packet>(from + part * 8);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int p = part * 4 + half * 2;
          const uint32_t a[4] = {low[p], high[p], low[p + 1], high[p + 1]};
          const uint32_t b[2] = {columns.values[half * 2], columns.values[half * 2 + 1]};
          mma_m16n8k16(sums[tile], a, b);
        }
      }
    }
  }
  float* parts = dynamic_shared<float>();  // [warps][8 Tiles][16]
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      parts[((warp * Tiles + tile) * 8 + 2 * t + i % 2) * kOutputs + g + i / 2 * 8] = sums[tile][i];
  __syncthreads();
  for (int i = threadIdx.x; i < rows * kOutputs; i += blockDim.x) {
    const int output = first + i % kOutputs;
    if (output > last) continue;
    float sum = 0.0f;
    for (int part = 0; part < warps; ++part) sum += parts[part * (Tiles * 8 * kOutputs) + i];
    if constexpr (!Codes::kScaled) sum *= w.scales[output];
    if (bias != nullptr) sum += bias[output];
    Out* to = out[i / kOutputs] + output;
    *to = from_float<Out>(add ? to_float(*to) + sum : sum);
  }
}

// Blocks of threads along a row of codes, one row in y; a packet a thread.
template <class Codes>
__global__ void expand_rows(RowsOf<Bf16> out, CodedRows<Codes> w, int first) {
  constexpr int kPairs = Codes::kPairs;
  const int packet = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (packet >= w.packets) return;
  const int row = first + static_cast<int>(blockIdx.y);
  uint32_t pairs[kPairs];
  w.load(pairs, row, packet);
  if constexpr (!Codes::kScaled) {
    const float scale = w.scales[row];
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const __nv_bfloat162 scaled = __floats2bfloat162_rn(bits_as<float>(pairs[i] << 16) * scale,
                                                          bits_as<float>(pairs[i] & 0xffff0000u) * scale);
      pairs[i] = bits_as<uint32_t>(scaled);
    }
  }
  Bf16* to = out[blockIdx.y] + static_cast<int64_t>(packet) * (2 * kPairs);
#pragma unroll
  for (int i = 0; i < kPairs; i += 4)
    store_aligned(to + 2 * i, Packet{pairs[i], pairs[i + 1], pairs[i + 2], pairs[i + 3]});
}

// run.template operator()<Codes>(rows of w).
template <class Run>
void with_codes(const Weight& w, const Run& run) {
  const auto rows = [&]<class Codes>() {
    run.template operator()<Codes>(
        CodedRows<Codes>{static_cast<const unsigned char*>(w.data.data()),
                         static_cast<const typename Codes::Scale*>(w.scales.data()),
                         static_cast<int>(packets_of(w.k, w.format)), static_cast<int>(w.n)});
  };
  switch (w.format) {
    case WeightFormat::fp8:
      return rows.template operator()<Fp8Codes>();
    case WeightFormat::int8:
      return rows.template operator()<Int8Codes>();
    default:
      check(w.format == WeightFormat::int4, "no kernel takes codes of ", name_of(w.format));
      return rows.template operator()<Int4Codes>();
  }
}

}  // namespace

void few_rows_matmul(cudaStream_t stream, Tensor out, Tensor x, const Weight& w, Tensor bias, bool add) {
  check(out.rows() <= kFewRows, "a product of ", out.rows(), " rows with codes");
  const int rows = static_cast<int>(out.rows());
  const auto run = [&]<class Codes, int Tiles, class Out>(const CodedRows<Codes>& codes) {
    const unsigned warps = codes.packets >= kMostWarps * 4 ? kMostWarps : blocks(codes.packets, 4);
    const size_t shared = warps * Tiles * 8 * kOutputs * sizeof(float);
    launch(few_rows<Codes, Tiles, Out>, blocks(w.n, kOutputs), warps * kWarp, shared, stream,
           rows_of<Out>(out), rows_of<const Bf16>(x), codes, bias.empty() ? nullptr : bias.data<float>(),
           rows, add);
  };
  with_codes(w, [&]<class Codes>(const CodedRows<Codes>& codes) {
    with_activation(out.dtype(), [&]<class Out>() {
      if (rows <= 8) return run.template operator()<Codes, 1, Out>(codes);
      if (rows <= 16) return run.template operator()<Codes, 2, Out>(codes);
      run.template operator()<Codes, 4, Out>(codes);
    });
  });
}

void expand(cudaStream_t stream, Tensor out, const Weight& w, int64_t first) {
  constexpr int64_t kMostRows = 65535;  // of a grid's y
  with_codes(w, [&]<class Codes>(const CodedRows<Codes>& codes) {
    const unsigned threads = row_threads(codes.packets);
    for (int64_t done = 0; done < out.rows(); done += kMostRows) {
      const int64_t rows = std::min(kMostRows, out.rows() - done);
      const dim3 grid(blocks(codes.packets, threads), static_cast<unsigned>(rows));
      launch(expand_rows<Codes>, grid, threads, 0, stream, rows_of<Bf16>(out.slice_rows(done, rows)), codes,
             static_cast<int>(first + done));
    }
  });
}

}  // namespace uhd::cuda
