// Computes attention without tensor cores: one warp takes one query row of one head, 32 keys at a time, with
// a running softmax in f32. The tensor-core form is compared with this definition, and f32 uses it.
#pragma once

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace uhd::cuda {

constexpr int kRowWarps = 4;  // of a block; each works alone

constexpr size_t row_shared_bytes(int64_t d) {
  return kRowWarps * (2 * static_cast<size_t>(d) + kWarp) * sizeof(float);
}

// Computes out [d] of q [d] over `keys` keys; k(j) and v(j) are the rows of key j. If keys are bf16 so is the
// query, as in the tensor-core form. A row without keys is zero. Calls of one warp may follow each other.
template <class T, class KV, class Key, class Value>
__device__ void attend_row(T* out, const T* q, int keys, int d, float scale, const Key& k, const Value& v) {
  const int lane = threadIdx.x % kWarp;
  float* query = dynamic_shared<float>() + threadIdx.x / kWarp * (2 * d + kWarp);
  float* sums = query + d;  // each column belongs to one lane
  float* weights = sums + d;
  for (int c = lane; c < d; c += kWarp) {
    query[c] = to_float(from_float<KV>(to_float(q[c])));
    sums[c] = 0.0f;
  }
  __syncwarp();
  float top = -__builtin_inff(), total = 0.0f;
  for (int first = 0; first < keys; first += kWarp) {
    float score = -__builtin_inff();
    if (first + lane < keys) {
      const KV* key = k(first + lane);
      float dot = 0.0f;
      for (int c = 0; c < d; ++c) dot = fmaf(query[c], to_float(key[c]), dot);
      score = dot * scale;
    }
    const float now = fmaxf(top, warp_max(score));
    const float shrink = expf(top - now);
    const float weight = expf(score - now);
    top = now;
    total = total * shrink + warp_sum(weight);
    weights[lane] = weight;
    __syncwarp();
    const int here = keys - first < kWarp ? keys - first : kWarp;
    for (int c = lane; c < d; c += kWarp) {
      float sum = sums[c] * shrink;
      for (int j = 0; j < here; ++j) sum = fmaf(weights[j], to_float(v(first + j)[c]), sum);
      sums[c] = sum;
    }
    __syncwarp();  // the weights are read before the next ones are written
  }
  const float share = total == 0.0f ? 0.0f : 1.0f / total;
  for (int c = lane; c < d; c += kWarp) out[c] = from_float<T>(sums[c] * share);
  __syncwarp();
}

// Returns the segment that a row belongs to, or -1 if there is none: offsets [segments + 1] rise.
__device__ inline int segment_of(const int32_t* offsets, int segments, int row) {
  if (row < offsets[0] || row >= offsets[segments]) return -1;
  int low = 0, high = segments;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (offsets[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

}  // namespace uhd::cuda
