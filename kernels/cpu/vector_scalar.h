// Defines vectors of four floats in plain C++ that any compiler for any machine accepts. This is the
// definition of the vector type V that the loops are written over. Only one .cc includes it; everything is
// internal to that file.
#pragma once

#include <cstdint>
#include <cstring>

namespace uhd::cpu {
namespace {

struct V {
  typedef float F __attribute__((vector_size(16)));
  typedef uint32_t U __attribute__((vector_size(16)));
  static constexpr int kWidth = 4;
  static constexpr bool kNativeBf16 = false;
  // These give the shape of a register tile in rows and vectors; one row takes more vectors to hide latency.
  static constexpr int kRowsF32 = 4;
  static constexpr int kRowsBf16 = 4;
  static constexpr int kRowsInt8 = 4;
  static constexpr uint32_t kExcess = 0;  // the excess of dot_int8 (Int8Units)
  static constexpr int kBlockUnits = 64;  // 16 KiB of a panel stay in the first-level cache
  static constexpr int kVectors = 2;
  static constexpr int kRowVectors = 4;

  static F load(const float* p) {
    F x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static F load(const float* p, int64_t n) {  // loads the first n, and zeros after them
    F x{};
    std::memcpy(&x, p, static_cast<size_t>(n) * 4);
    return x;
  }
  static void store(float* p, F x) { std::memcpy(p, &x, sizeof x); }
  static void store(float* p, F x, int64_t n) { std::memcpy(p, &x, static_cast<size_t>(n) * 4); }
  static U load_units(const uint32_t* p) {
    U x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static void store_units(uint32_t* p, U x) { std::memcpy(p, &x, sizeof x); }
  static U all_units(uint32_t x) { return U{} + x; }
  static U minus(U a, U b) { return a - b; }
  static F from_int(U x) { return __builtin_convertvector(reinterpret<I>(x), F); }  // two's complement
  static F broadcast(const float* p) { return all(*p); }
  static U broadcast_units(const uint32_t* p) { return U{} + *p; }
  static F all(float x) { return F{x, x, x, x}; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static F max(F a, F b) { return a > b ? a : b; }  // b where either is NaN
  static F min(F a, F b) { return a < b ? a : b; }
  static F zero_where_less(F x, F bound, F value) { return x < bound ? F{} : value; }
  static F round(F x) {  // |x| < 2^22
    const F magic = all(12582912.0f);
    return (x + magic) - magic;
  }
  static F times_power_of_two(F x, F n) {  // n integral, result normal
    const U bits = __builtin_convertvector(__builtin_convertvector(n, I) + 127, U) << 23;
    return x * reinterpret<F>(bits);
  }
  static float sum(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }
  static float largest(F x) {
    const float a = x[0] > x[1] ? x[0] : x[1];
    const float b = x[2] > x[3] ? x[2] : x[3];
    return a > b ? a : b;
  }
  static F low_bf16(U pair) { return reinterpret<F>(pair << 16); }
  static F high_bf16(U pair) { return reinterpret<F>(pair & 0xffff0000u); }
  static F dot(F sum, U a, U b) {
    return fma(high_bf16(a), high_bf16(b), fma(low_bf16(a), low_bf16(b), sum));
  }
  static U dot_int8(U sum, U a, U b) {
    for (int shift = 0; shift < 32; shift += 8) sum += reinterpret<U>(byte(a, shift) * byte(b, shift));
    return sum;
  }
  static void store_int8(int8_t* p, F x) {  // |x| <= 127, integral
    for (int i = 0; i < kWidth; ++i) p[i] = static_cast<int8_t>(x[i]);
  }
  static void store_bf16(uint16_t* p, F x) {
    const U u = reinterpret<U>(x);
    const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const U nan = (u >> 16) | 0x40u;
    const U r = (u & 0x7fffffffu) > 0x7f800000u ? nan : rounded;
    for (int i = 0; i < kWidth; ++i) p[i] = static_cast<uint16_t>(r[i]);
  }
  static F load_bf16(const uint16_t* p) { return reinterpret<F>(U{p[0], p[1], p[2], p[3]} << 16); }

 private:
  typedef int32_t I __attribute__((vector_size(16)));
  static I byte(U quads, int shift) { return reinterpret<I>(quads << (24 - shift)) >> 24; }
  template <class To, class From>
  static To reinterpret(From x) {
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
  }
};

}  // namespace
}  // namespace uhd::cpu
