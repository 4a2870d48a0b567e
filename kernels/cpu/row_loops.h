// Runs loops over one row, over the vector type V of the including file; it is internal to that file.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/vector_functions.h"

namespace uhd::cpu {
namespace {

// Calls f(vector of x) for each part of n values, the last one partial.
template <class V, class Body>
inline void for_parts(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) body(i, V::kWidth);
  if (i < n) body(i, n - i);
}

template <class V>
typename V::F load_part(const float* p, int64_t n) {
  return n == V::kWidth ? V::load(p) : V::load(p, n);
}
template <class V>
void store_part(float* p, typename V::F x, int64_t n) {
  if (n == V::kWidth)
    V::store(p, x);
  else
    V::store(p, x, n);
}

template <class V>
void to_bf16(uint16_t* out, const float* x, int64_t n) {
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    if (m == V::kWidth) {
      V::store_bf16(out + i, V::load(x + i));
    } else {
      uint16_t part[V::kWidth];
      V::store_bf16(part, V::load(x + i, m));
      for (int64_t j = 0; j < m; ++j) out[i + j] = part[j];
    }
  });
}

template <class V>
void from_bf16(float* out, const uint16_t* x, int64_t n) {
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    if (m == V::kWidth) {
      V::store(out + i, V::load_bf16(x + i));
    } else {
      uint16_t part[V::kWidth] = {};
      for (int64_t j = 0; j < m; ++j) part[j] = x[i + j];
      V::store(out + i, V::load_bf16(part), m);
    }
  });
}

template <class V>
RowCodes to_int8(int8_t* out, const float* x, int64_t n) {
  const typename V::F zero = V::all(0.0f);
  typename V::F top = zero, spoilt = zero;
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    const typename V::F v = load_part<V>(x + i, m);
    top = V::max(V::max(v, zero - v), top);
    spoilt = V::fma(v, zero, spoilt);  // NaN where a value is not finite
  });
  const float largest = V::largest(top);
  const bool finite = V::sum(spoilt) == 0.0f;
  if (!finite || largest < 1e-30f) {
    for (int64_t i = 0; i < n; ++i) out[i] = 0;
    return {finite ? 0.0f : __builtin_nanf(""), 0};
  }
  const typename V::F factor = V::all(127.0f / largest);
  int32_t sum = 0;
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    int8_t part[V::kWidth];
    V::store_int8(part, V::round(load_part<V>(x + i, m) * factor));
    for (int64_t j = 0; j < m; ++j) {
      out[i + j] = part[j];
      sum += part[j];
    }
  });
  return {largest / 127.0f, sum};
}

// Returns 1 / sqrt(x) of one value, correctly rounded twice.
inline float inverse_root(float x) { return 1.0f / __builtin_sqrtf(x); }

template <class V>
void rms_norm(float* out, const float* x, const float* w, int64_t n, float eps) {
  typename V::F squares = V::all(0.0f);
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    const typename V::F v = load_part<V>(x + i, m);
    squares = V::fma(v, v, squares);
  });
  const typename V::F factor = V::all(inverse_root(V::sum(squares) / static_cast<float>(n) + eps));
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    store_part<V>(out + i, load_part<V>(x + i, m) * factor * load_part<V>(w + i, m), m);
  });
}

template <class V>
void layer_norm(float* out, const float* x, const float* w, const float* b, int64_t n, float eps) {
  using F = typename V::F;
  F sum = V::all(0.0f);
  for_parts<V>(n, [&](int64_t i, int64_t m) { sum = sum + load_part<V>(x + i, m); });
  const float mean = V::sum(sum) / static_cast<float>(n);
  const F means = V::all(mean);
  F squares = V::all(0.0f);
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    F v = load_part<V>(x + i, m) - means;
    if (m != V::kWidth) {  // the lanes past the end must count nothing
      float part[V::kWidth];
      V::store(part, v);
      v = V::load(part, m);
    }
    squares = V::fma(v, v, squares);
  });
  const F factor = V::all(inverse_root(V::sum(squares) / static_cast<float>(n) + eps));
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    const F v = (load_part<V>(x + i, m) - means) * factor;
    store_part<V>(out + i, V::fma(v, load_part<V>(w + i, m), load_part<V>(b + i, m)), m);
  });
}

template <class V>
void rope(float* x, const float* cosines, const float* sines, int64_t half) {
  for_parts<V>(half, [&](int64_t i, int64_t m) {
    const typename V::F c = load_part<V>(cosines + i, m);
    const typename V::F s = load_part<V>(sines + i, m);
    const typename V::F a = load_part<V>(x + i, m);
    const typename V::F b = load_part<V>(x + half + i, m);
    store_part<V>(x + i, a * c - b * s, m);
    store_part<V>(x + half + i, b * c + a * s, m);
  });
}

template <class V>
void silu_mul(float* out, const float* gate, const float* up, int64_t n) {
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    store_part<V>(out + i, silu<V>(load_part<V>(gate + i, m)) * load_part<V>(up + i, m), m);
  });
}

template <class V>
void add(float* out, const float* a, const float* b, int64_t n) {
  for_parts<V>(n, [&](int64_t i, int64_t m) {
    store_part<V>(out + i, load_part<V>(a + i, m) + load_part<V>(b + i, m), m);
  });
}

template <class V>
void scale(float* out, const float* x, float factor, int64_t n) {
  for_parts<V>(
      n, [&](int64_t i, int64_t m) { store_part<V>(out + i, load_part<V>(x + i, m) * V::all(factor), m); });
}

// Finds the largest value first, then its first place. NaN is never larger.
template <class V>
int64_t argmax(const float* x, int64_t n) {
  typename V::F top = V::all(-__builtin_inff());
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) top = V::max(V::load(x + i), top);
  float largest = V::largest(top);
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  for (int64_t j = 0; j < n; ++j)
    if (x[j] == largest) return j;
  return 0;
}

}  // namespace
}  // namespace uhd::cpu
