#include "cluster/nccl/all_reduce_choice.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "base/bytes_text.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/peer_sum.h"

namespace uhd {
namespace {

constexpr std::array<size_t, 5> kSizes{size_t{8} << 10, size_t{32} << 10, size_t{128} << 10,
                                       size_t{512} << 10, cuda::kMostSummedBytes};
constexpr int kSumsInARow = 10;

class Event {
 public:
  Event() { cuda::check_cuda(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) {
    cuda::check_cuda(cudaEventRecord(event_, stream), "recording an event");
  }
  float us_since(const Event& begin) const {
    float ms = 0;
    cuda::check_cuda(cudaEventElapsedTime(&ms, begin.event_, event_), "reading a time");
    return ms * 1e3f;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Microseconds of one of several in a row.
float time_one(cuda::Backend& backend, Tensor x, const Summing& sum) {
  const auto row = [&] {
    for (int i = 0; i < kSumsInARow; ++i) sum(x);
  };
  row();  // the first call makes things that later ones reuse
  const auto recording = backend.record(row);
  const auto run = [&] { recording ? recording->run() : row(); };
  run();
  Event begin, end;
  begin.record(backend.stream());
  run();
  end.record(backend.stream());
  backend.synchronize();
  return end.us_since(begin) / kSumsInARow;
}

// Whole numbers below 32: sums of eight are exact in bf16.
float value_at(int rank, int round, int64_t i) {
  return static_cast<float>((i * 7 + int64_t{rank} * 13 + int64_t{round} * 5) % 32);
}

template <class T>
bool right_at(cuda::Backend& backend, int rank, int size, int64_t count, const Summing& sum) {
  constexpr int kRounds = 3;  // more than a buffer has halves
  constexpr DType kType = std::is_same_v<T, float> ? DType::f32 : DType::bf16;
  const DeviceBuffer memory = backend.allocate(static_cast<size_t>(count * kRounds) * sizeof(T));
  const Tensor all = memory.as(kType, {kRounds, count});
  std::vector<T> values(static_cast<size_t>(count * kRounds));
  for (int64_t i = 0; i < count * kRounds; ++i)
    values[static_cast<size_t>(i)] = static_cast<T>(value_at(rank, static_cast<int>(i / count), i % count));
  const Tensor host(values.data(), kType, {kRounds, count});
  backend.upload(all, host);
  for (int round = 0; round < kRounds; ++round) sum(all.slice_rows(round, 1));
  backend.download(host, all);
  for (int64_t i = 0; i < count * kRounds; ++i) {
    float wanted = 0;
    for (int r = 0; r < size; ++r) wanted += value_at(r, static_cast<int>(i / count), i % count);
    if (static_cast<float>(values[static_cast<size_t>(i)]) != wanted) return false;
  }
  return true;
}

}  // namespace

size_t ipc_limit(std::span<const SumTiming> timings) {
  size_t limit = 0;
  for (const SumTiming& t : timings) {
    if (!(t.ipc_us < t.nccl_us)) break;
    limit = t.bytes;
  }
  return limit;
}

std::string words(std::span<const SumTiming> timings) {
  std::string text;
  for (const SumTiming& t : timings) {
    char pair[48];
    std::snprintf(pair, sizeof(pair), " %.1f/%.1f", static_cast<double>(t.nccl_us),
                  static_cast<double>(t.ipc_us));
    text += (text.empty() ? "" : ", ") + bytes_text(t.bytes) + pair;
  }
  return text;
}

bool sums_are_right(cuda::Backend& backend, int rank, int size, const Summing& sum,
                    const Exchange& exchange) {
  bool right = true;
  for (const int64_t count : {251, 12288, 300000}) {  // by elements and by 16 bytes, one-shot and two-shot
    right = right_at<float>(backend, rank, size, count, sum) && right;
    right = right_at<bf16>(backend, rank, size, count, sum) && right;
  }
  const auto own = static_cast<std::byte>(right);
  const std::vector<std::byte> all = exchange(std::span(&own, 1));
  return std::all_of(all.begin(), all.end(), [](std::byte b) { return b != std::byte{0}; });
}

std::vector<SumTiming> time_sums(cuda::Backend& backend, const Summing& nccl, const Summing& ipc,
                                 const Exchange& exchange) {
  const DeviceBuffer memory = backend.allocate(kSizes.back());
  const std::vector<uint8_t> zeros(kSizes.back());
  const Tensor whole = memory.as(DType::u8, {static_cast<int64_t>(zeros.size())});
  backend.upload(whole, Tensor(const_cast<uint8_t*>(zeros.data()), DType::u8, whole.shape()));
  std::array<SumTiming, kSizes.size()> own{};
  for (size_t i = 0; i < kSizes.size(); ++i) {
    const Tensor x(memory.data(), DType::bf16, {static_cast<int64_t>(kSizes[i] / 2)});
    own[i] = {kSizes[i], time_one(backend, x, nccl), time_one(backend, x, ipc)};
  }
  const std::vector<std::byte> all = exchange(std::as_bytes(std::span(own)));
  std::vector<SumTiming> slowest(own.begin(), own.end());
  for (size_t at = 0; at < all.size(); at += sizeof(own)) {
    std::array<SumTiming, kSizes.size()> one;
    std::memcpy(&one, all.data() + at, sizeof(one));
    for (size_t i = 0; i < one.size(); ++i) {
      slowest[i].nccl_us = std::max(slowest[i].nccl_us, one[i].nccl_us);
      slowest[i].ipc_us = std::max(slowest[i].ipc_us, one[i].ipc_us);
    }
  }
  return slowest;
}

}  // namespace uhd
