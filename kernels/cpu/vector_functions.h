// Computes functions of a vector, over the vector type V of the including file; it is internal to that file.
#pragma once

namespace uhd::cpu {
namespace {

// Computes e^x to about 1e-7 relative. The result is 0 below the smallest normal number; NaN stays NaN.
template <class V>
typename V::F exp(typename V::F x) {
  using F = typename V::F;
  const F lowest = V::all(-87.33654f);
  const F y = V::max(lowest, V::min(V::all(88.37626f), x));
  const F n = V::round(y * V::all(1.44269504f));
  const F r = V::fma(n, V::all(2.12194440e-4f), V::fma(n, V::all(-0.693359375f), y));
  F p = V::all(1.9875691500e-4f);
  p = V::fma(p, r, V::all(1.3981999507e-3f));
  p = V::fma(p, r, V::all(8.3334519073e-3f));
  p = V::fma(p, r, V::all(4.1665795894e-2f));
  p = V::fma(p, r, V::all(1.6666665459e-1f));
  p = V::fma(p, r, V::all(5.0000001201e-1f));
  p = V::fma(p, r * r, r + V::all(1.0f));
  return V::zero_where_less(x, lowest, V::times_power_of_two(p, n));
}

template <class V>
typename V::F sigmoid(typename V::F x) {
  return V::all(1.0f) / (V::all(1.0f) + exp<V>(-x));
}

// Computes erf by formula 7.1.26 of Abramowitz and Stegun, |error| <= 1.5e-7, in the form of x/2 (1 +
// erf(x/√2)).
template <class V>
typename V::F gelu(typename V::F x) {
  using F = typename V::F;
  const F zero = V::all(0.0f);
  const F z = V::max(x, zero - x) * V::all(0.70710678f);
  const F t = V::all(1.0f) / V::fma(z, V::all(0.3275911f), V::all(1.0f));
  F p = V::all(1.061405429f);
  p = V::fma(p, t, V::all(-1.453152027f));
  p = V::fma(p, t, V::all(1.421413741f));
  p = V::fma(p, t, V::all(-0.284496736f));
  p = V::fma(p, t, V::all(0.254829592f));
  const F tail = p * t * exp<V>(zero - z * z);  // erfc(z) for z >= 0
  // x/2 (1 + erf) = max(x, 0) - |x|/2 erfc(|x|/√2)
  return V::max(zero, x) - V::max(x, zero - x) * V::all(0.5f) * tail;
}

template <class V>
typename V::F gelu_tanh(typename V::F x) {
  const typename V::F cubic = V::fma(x * x * x, V::all(0.044715f), x);
  return x * sigmoid<V>(cubic * V::all(1.59576912f));  // (1 + tanh u) / 2 = σ(2u)
}

template <class V>
typename V::F silu(typename V::F x) {
  return x * sigmoid<V>(x);
}

template <class V>
typename V::F quick_gelu(typename V::F x) {
  return x * sigmoid<V>(x * V::all(1.702f));
}

}  // namespace
}  // namespace uhd::cpu
