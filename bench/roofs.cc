#include "bench/roofs.h"

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace uhd {
namespace {

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

volatile float sink;  // keeps the loops' results alive

// The empty asm statements hide values from the compiler, which would otherwise merge chains that are equal.
constexpr int kChains = 16;  // independent sums: more than latency times the units of any processor

constexpr int kShortChains = 12;  // of sixteen registers

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bf16"))) void spin_bf16(int64_t n) {
  __m512i ones = _mm512_set1_epi32(0x3f803f80);
  asm("" : "+v"(ones));
  __m512 sum[kChains] = {};
  for (int j = 0; j < kChains; ++j) asm("" : "+v"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j)
      sum[j] = _mm512_dpbf16_ps(sum[j], reinterpret_cast<__m512bh>(ones), reinterpret_cast<__m512bh>(ones));
  }
  for (int j = 0; j < kChains; ++j) sink = sum[j][0];
}

__attribute__((target("avx512f"))) void spin_f32_512(int64_t n) {
  __m512 ones = _mm512_set1_ps(1.0f);
  asm("" : "+v"(ones));
  __m512 sum[kChains] = {};
  for (int j = 0; j < kChains; ++j) asm("" : "+v"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = _mm512_fmadd_ps(ones, ones, sum[j]);
  }
  for (int j = 0; j < kChains; ++j) sink = sum[j][0];
}

__attribute__((target("avx2,fma"))) void spin_f32_256(int64_t n) {
  __m256 ones = _mm256_set1_ps(1.0f);
  asm("" : "+x"(ones));
  __m256 sum[kShortChains] = {};
  for (int j = 0; j < kShortChains; ++j) asm("" : "+x"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kShortChains; ++j) sum[j] = _mm256_fmadd_ps(ones, ones, sum[j]);
  }
  for (int j = 0; j < kShortChains; ++j) sink = sum[j][0];
}

void spin_f32_128(int64_t n) {
  __m128 ones = _mm_set1_ps(1.0f);
  asm("" : "+x"(ones));
  __m128 sum[kShortChains] = {};
  for (int j = 0; j < kShortChains; ++j) asm("" : "+x"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kShortChains; ++j) sum[j] = _mm_add_ps(sum[j], _mm_mul_ps(ones, ones));
  }
  for (int j = 0; j < kShortChains; ++j) sink = sum[j][0];
}

__attribute__((target("avx512f"))) void read_512(const float* p, int64_t n) {
  __m512i all[4] = {};
  for (int64_t i = 0; i < n; i += 64)
    for (int j = 0; j < 4; ++j) all[j] = _mm512_or_si512(all[j], _mm512_loadu_si512(p + i + j * 16));
  sink = static_cast<float>(((all[0] | all[1]) | (all[2] | all[3]))[0]);
}

void read_128(const float* p, int64_t n) {
  __m128 all[4] = {};
  for (int64_t i = 0; i < n; i += 16)
    for (int j = 0; j < 4; ++j) all[j] = _mm_or_ps(all[j], _mm_loadu_ps(p + i + j * 4));
  sink = _mm_cvtss_f32(_mm_or_ps(_mm_or_ps(all[0], all[1]), _mm_or_ps(all[2], all[3])));
}
#else
__attribute__((target("arch=armv8.2-a+bf16"))) void spin_bf16(int64_t n) {
  bfloat16x8_t ones = vreinterpretq_bf16_u16(vdupq_n_u16(0x3f80));
  asm("" : "+w"(ones));
  float32x4_t sum[kChains] = {};
  for (int j = 0; j < kChains; ++j) asm("" : "+w"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = vbfmmlaq_f32(sum[j], ones, ones);
  }
  for (int j = 0; j < kChains; ++j) sink = sum[j][0];
}

void spin_f32_128(int64_t n) {
  float32x4_t ones = vdupq_n_f32(1);
  asm("" : "+w"(ones));
  float32x4_t sum[kChains] = {};
  for (int j = 0; j < kChains; ++j) asm("" : "+w"(sum[j]));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = vfmaq_f32(sum[j], ones, ones);
  }
  for (int j = 0; j < kChains; ++j) sink = sum[j][0];
}

void read_128(const float* p, int64_t n) {
  uint32x4_t all[4] = {};
  for (int64_t i = 0; i < n; i += 16)
    for (int j = 0; j < 4; ++j) all[j] = vorrq_u32(all[j], vreinterpretq_u32_f32(vld1q_f32(p + i + j * 4)));
  sink = static_cast<float>(((all[0] | all[1]) | (all[2] | all[3]))[0]);
}
#endif

double flops(ThreadPool& pool, void (*spin)(int64_t), int chains, int lanes, int flops_a_lane) {
  constexpr int64_t kRounds = 20000;
  const double t = best_seconds(
      pool.size(), [&] { pool.parallel_for(pool.size(), 1, [&](int64_t, int64_t) { spin(kRounds); }); });
  return static_cast<double>(kRounds) * chains * lanes * flops_a_lane * pool.size() / t;
}

}  // namespace

double best_seconds(int threads, const std::function<void()>& call, double budget_s) {
  const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  call();
  std::vector<double> samples;
  const double end = seconds(CLOCK_MONOTONIC) + budget_s;
  while (samples.size() < 5 || (seconds(CLOCK_MONOTONIC) < end && samples.size() < 100000)) {
    const double begin = seconds(clock);
    call();
    samples.push_back(seconds(clock) - begin);
  }
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 20];
}

Roofs measure_roofs(ThreadPool& pool, const std::string& isa) {
  Roofs roofs;
#if defined(__x86_64__)
  const bool wide = isa.starts_with("avx512") || isa == "amx";
  const auto read = wide ? read_512 : read_128;
  if (isa == "avx512_bf16") roofs.bf16_flops = flops(pool, spin_bf16, kChains, 16, 4);
  if (wide)
    roofs.f32_flops = flops(pool, spin_f32_512, kChains, 16, 2);
  else if (isa == "avx2")
    roofs.f32_flops = flops(pool, spin_f32_256, kShortChains, 8, 2);
  else
    roofs.f32_flops = flops(pool, spin_f32_128, kShortChains, 4, 2);
#else
  const auto read = read_128;
  if (isa == "neon_bf16") roofs.bf16_flops = flops(pool, spin_bf16, kChains, 4, 8);
  roofs.f32_flops = flops(pool, spin_f32_128, kChains, 4, 2);
#endif

  constexpr int64_t kFloats = int64_t{64} << 20;
  const auto memory = std::unique_ptr<float, decltype(&std::free)>(
      static_cast<float*>(std::aligned_alloc(size_t{2} << 20, kFloats * sizeof(float))), &std::free);
  madvise(memory.get(), kFloats * sizeof(float), MADV_HUGEPAGE);
  std::memset(memory.get(), 1, kFloats * sizeof(float));
  // Parts of a few megabytes, one after another through the whole: each is cold when its turn comes again.
  constexpr int64_t kPart = int64_t{1} << 20;
  int64_t at = 0;
  const double t = best_seconds(
      pool.size(),
      [&] {
        pool.parallel_for(kPart * pool.size(), kPart / 16,
                          [&](int64_t begin, int64_t end) { read(memory.get() + at + begin, end - begin); });
        at = (at + kPart * pool.size()) % (kFloats - kPart * pool.size());
        at = at / kPart * kPart;
      },
      1.0);
  roofs.read_bytes = static_cast<double>(kPart) * pool.size() * sizeof(float) / t;
  return roofs;
}

}  // namespace uhd
