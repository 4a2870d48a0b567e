// Tests the emulation itself: it must see every fault of a kernel or a host program.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "emulation/streams.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace uhd::cuda {
namespace {

using emulation::LaneOrder;
using testing::HasSubstr;

class Emulation : public testing::Test {
 protected:
  Emulation() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"); }
  ~Emulation() override {
    emulation::clear_failure();
    emulation::set_lane_order(LaneOrder::forward);
    for (void* p : memory_) cudaFree(p);
    cudaStreamDestroy(stream_);
    emulation::clear_failure();
  }

  float* floats(size_t count) {
    void* p = nullptr;
    check_cuda(cudaMalloc(&p, count * sizeof(float)), "allocating memory");
    memory_.push_back(p);
    return static_cast<float*>(p);
  }
  void set(float* device, const std::vector<float>& values) {
    check_cuda(cudaMemcpyAsync(device, values.data(), values.size() * 4, cudaMemcpyHostToDevice, stream_),
               "set");
  }
  std::vector<float> get(const float* device, size_t count) {
    std::vector<float> values(count);
    cudaMemcpyAsync(values.data(), device, count * 4, cudaMemcpyDeviceToHost, stream_);
    cudaStreamSynchronize(stream_);
    return values;
  }
  // Returns the device's report when the stream is waited for.
  std::string report() {
    const cudaError_t status = cudaStreamSynchronize(stream_);
    return status == cudaSuccess ? "" : cudaGetErrorString(status);
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> memory_;
};

constexpr LaneOrder kOrders[] = {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled,
                                 LaneOrder::run_ahead};

__global__ void sum_twice(float* out, const float* x) {
  const float first = block_sum(x[threadIdx.x]);
  const float second = block_sum(2.0f * x[threadIdx.x]);
  if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = first + second;
}

// Works like block_sum, but lacks its closing fence.
__device__ float careless_sum(float value) {
  struct Partial;
  float* partial = block_array<float, kWarp, Partial>();
  const int lane = threadIdx.x % kWarp, warps = blockDim.x / kWarp;
  value = warp_sum(value);
  if (lane == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_sum(lane < warps ? partial[lane] : 0.0f);
}
__global__ void careless_sum_twice(float* out, const float* x) {
  const float first = careless_sum(x[threadIdx.x]);
  const float second = careless_sum(2.0f * x[threadIdx.x]);
  if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = first + second;
}

TEST_F(Emulation, ReductionsAgreeUnderEveryOrder) {
  float *x = floats(256), *out = floats(8);
  set(x, std::vector<float>(256, 0.5f));
  for (const LaneOrder order : kOrders) {
    emulation::set_lane_order(order, 7);
    launch(sum_twice, 1, 256, 0, stream_, out, x);
    EXPECT_THAT(get(out, 8), testing::Each(384.0f));
  }
}

TEST_F(Emulation, RunAheadCatchesARemovedFence) {
  float *x = floats(256), *out = floats(8);
  set(x, std::vector<float>(256, 0.5f));
  int wrong = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    emulation::set_lane_order(LaneOrder::run_ahead, seed);
    launch(careless_sum_twice, 1, 256, 0, stream_, out, x);
    for (const float sum : get(out, 8)) wrong += sum != 384.0f;
  }
  EXPECT_GT(wrong, 0);
}

__global__ void half_of_a_block_waits(float* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 1.0f;
}

TEST_F(Emulation, ReportsABarrierThatNotEveryThreadReaches) {
  launch(half_of_a_block_waits, 1, 64, 0, stream_, floats(64));
  EXPECT_THAT(report(), testing::AllOf(HasSubstr("a barrier that not every thread reaches"),
                                       HasSubstr("emulation_test.cu"), HasSubstr("32 have ended")));
  EXPECT_THAT(report(), HasSubstr("not every thread")) << "the failure stays";
  EXPECT_NE(cudaGetLastError(), cudaSuccess);
}

__global__ void two_barriers(float* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1.0f;
}

TEST_F(Emulation, ReportsDifferentBarriersInOneBlock) {
  launch(two_barriers, 1, 64, 0, stream_, floats(64));
  EXPECT_THAT(report(), HasSubstr("different barriers"));
}

__global__ void fill(float* out, float value, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = value;
}

// Works like fill; the address sanitizer would end the program before the guard is looked at.
__global__ __attribute__((no_sanitize_address)) void fill_too_far(float* out, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = 1.0f;
}

TEST_F(Emulation, ReportsAnOverwrittenGuard) {
  launch(fill_too_far, 1, 32, 0, stream_, floats(15), 16);
  EXPECT_EQ(report(), "");
  emulation::check_guards();
  EXPECT_THAT(emulation::failure(), HasSubstr("a guard was overwritten above a buffer of 60 bytes"));
  EXPECT_NE(cudaStreamSynchronize(stream_), cudaSuccess) << "the failure stays";
}

__global__ void write_past_shared(int bytes) {
  if (threadIdx.x == 0) dynamic_shared<char>()[bytes] = 1;
}

TEST_F(Emulation, ReportsAWritePastSharedMemory) {
  launch(write_past_shared, 1, 32, 64, stream_, 64);
  EXPECT_THAT(report(), HasSubstr("past its dynamic shared memory"));
}

__global__ void read_shared(float* out) { out[threadIdx.x] = dynamic_shared<float>()[threadIdx.x]; }

TEST_F(Emulation, FreshMemoryHoldsNan) {
  float* out = floats(32);
  EXPECT_TRUE(std::isnan(get(out, 32)[31]));
  launch(read_shared, 2, 32, 128, stream_, out);
  EXPECT_TRUE(std::isnan(get(out, 32)[5]));
}

TEST_F(Emulation, AMissingEventWaitGivesNan) {
  cudaStream_t other = nullptr;
  cudaEvent_t written = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&written, cudaEventDisableTiming), cudaSuccess);
  float *x = floats(4), *y = floats(4);
  launch(fill, 1, 32, 0, other, x, 3.0f, 4);
  ASSERT_EQ(cudaEventRecord(written, other), cudaSuccess);
  cudaMemcpyAsync(y, x, 16, cudaMemcpyDeviceToDevice, stream_);
  EXPECT_TRUE(std::isnan(get(y, 4)[0]));
  ASSERT_EQ(cudaStreamWaitEvent(stream_, written, 0), cudaSuccess);
  cudaMemcpyAsync(y, x, 16, cudaMemcpyDeviceToDevice, stream_);
  EXPECT_EQ(get(y, 4)[0], 3.0f);
  cudaEventDestroy(written);
  cudaStreamDestroy(other);
}

TEST_F(Emulation, PinnedMemoryIsReadWhenTheCopyRuns) {
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, 4, cudaHostAllocDefault), cudaSuccess);
  float* x = floats(1);
  *static_cast<float*>(pinned) = 1.0f;
  cudaMemcpyAsync(x, pinned, 4, cudaMemcpyHostToDevice, stream_);
  *static_cast<float*>(pinned) = 2.0f;  // too early
  EXPECT_EQ(get(x, 1)[0], 2.0f);
  cudaFreeHost(pinned);
}

TEST_F(Emulation, RefusesWrongDirectionsAndSizes) {
  float host[4] = {};
  float* x = floats(4);
  EXPECT_EQ(cudaMemcpyAsync(x, host, 16, cudaMemcpyDeviceToHost, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(host, x, 16, cudaMemcpyHostToDevice, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(x, host, 20, cudaMemcpyHostToDevice, stream_), cudaErrorInvalidValue);
  EXPECT_THROW(launch(fill, 0, 32, 0, stream_, x, 0.0f, 4), Error);
  EXPECT_THROW(launch(fill, 1, 1056, 0, stream_, x, 0.0f, 4), Error);
  EXPECT_NE(cudaFree(x + 1), cudaSuccess);
}

class Capture : public Emulation {
 protected:
  template <class Work>
  cudaGraphExec_t capture(const Work& work) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
    work();
    check_cuda(cudaStreamEndCapture(stream_, &graph), "capture");
    check_cuda(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
    check_cuda(cudaGraphDestroy(graph), "destroy");
    return exec;
  }
};

TEST_F(Capture, ReplaysWhatWasCaptured) {
  float *x = floats(4), *y = floats(4);
  const cudaGraphExec_t graph = capture([&] {
    launch(fill, 1, 32, 0, stream_, x, 5.0f, 4);
    cudaMemcpyAsync(y, x, 16, cudaMemcpyDeviceToDevice, stream_);
  });
  EXPECT_TRUE(std::isnan(get(y, 4)[0])) << "capture runs nothing";
  ASSERT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(get(y, 4)[3], 5.0f);
  cudaGraphExecDestroy(graph);
}

TEST_F(Capture, ReportsAFreedBufferInAGraph) {
  void* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 64), cudaSuccess);
  const cudaGraphExec_t graph =
      capture([&] { launch(fill, 1, 32, 0, stream_, static_cast<float*>(p), 5.0f, 16); });
  ASSERT_EQ(cudaFree(p), cudaSuccess);
  cudaGraphLaunch(graph, stream_);
  EXPECT_THAT(report(), HasSubstr("a kernel uses a buffer that was freed"));
  cudaGraphExecDestroy(graph);
}

// Stale bytes of a stack in the padding behind a small number are no address.
TEST(Words, OfAnArgumentHaveNoPadding) {
  struct Padded {
    const void* address;
    int32_t number;  // and four bytes of padding
  } padded;
  std::memset(&padded, 0x7f, sizeof(padded));
  padded.address = nullptr;
  padded.number = 5;
  std::vector<uint64_t> words;
  append_words(words, padded);
#if __has_builtin(__builtin_clear_padding)
  EXPECT_THAT(words, testing::ElementsAre(0, 5));
#else
  EXPECT_THAT(words, testing::IsEmpty());
#endif
  append_words(words, int32_t{-1});
  EXPECT_EQ(words.back(), 0xffffffff);
}

TEST_F(Capture, RefusesToWaitOrAllocate) {
  cudaGraph_t graph = nullptr;
  void* p = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&p, 64), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

__global__ void copy_through_shared(float* out, const float* x, int wait) {
  float* shared = dynamic_shared<float>();
  copy_async_16(shared + 4 * threadIdx.x, x + 4 * threadIdx.x, threadIdx.x == 31 ? 8 : 16);
  commit_copies();
  if (wait != 0) wait_copies<0>();
  __syncthreads();
  for (int i = threadIdx.x; i < 128; i += 32) out[i] = shared[127 - i];
}

TEST_F(Emulation, AsynchronousCopiesArriveAtTheirWait) {
  float *x = floats(128), *out = floats(128);
  std::vector<float> values(128);
  for (int i = 0; i < 128; ++i) values[i] = static_cast<float>(i);
  set(x, values);
  launch(copy_through_shared, 1, 32, 512, stream_, out, x, 1);
  const std::vector<float> got = get(out, 128);
  EXPECT_EQ(got[127], 0.0f);
  EXPECT_EQ(got[2], 125.0f);
  EXPECT_EQ(got[1], 0.0f) << "past the valid bytes";
  launch(copy_through_shared, 1, 32, 512, stream_, out, x, 0);
  EXPECT_TRUE(std::isnan(get(out, 128)[2])) << "not waited for";
}

__global__ void misaligned(float* out) {
  float v[4];
  load_floats(v, out + 1);
  out[0] = v[0];
}

TEST_F(Emulation, ReportsAMisalignedAccess) {
  launch(misaligned, 1, 1, 0, stream_, floats(8));
  EXPECT_THAT(report(), HasSubstr("an access of 16 bytes is not aligned"));
}

// One warp computes D = A·B with A [16,16] row-major and B [16,8], through ldmatrix and mma.
__global__ void multiply_tile(float* d, const Bf16* a, const Bf16* b) {
  Bf16* shared = dynamic_shared<Bf16>();  // A, then B as [16][8]
  for (int i = threadIdx.x; i < 256; i += 32) shared[i] = a[i];
  for (int i = threadIdx.x; i < 128; i += 32) shared[256 + i] = b[i];
  __syncwarp();
  const int lane = threadIdx.x;
  uint32_t fa[4], fb[4];
  load_matrix_x4(fa, shared + lane % 16 * 16 + lane / 16 * 8);
  load_matrix_x4_transposed(fb, shared + 256 + lane % 16 * 8);
  const uint32_t pair[2] = {fb[0], fb[1]};
  float sums[4] = {};
  mma_m16n8k16(sums, fa, pair);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

TEST_F(Emulation, TensorCoreFragmentsMultiply) {
  std::vector<uint16_t> a(256), b(128);
  const auto value_a = [](int i) { return static_cast<float>(i * 7 % 13 - 6); };
  const auto value_b = [](int i) { return static_cast<float>(i * 5 % 11 - 5); };
  const auto bits = [](float f) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(f) >> 16); };
  for (int i = 0; i < 256; ++i) a[i] = bits(value_a(i));
  for (int i = 0; i < 128; ++i) b[i] = bits(value_b(i));
  float *da = floats(128), *db = floats(64), *d = floats(128);
  cudaMemcpyAsync(da, a.data(), 512, cudaMemcpyHostToDevice, stream_);
  cudaMemcpyAsync(db, b.data(), 256, cudaMemcpyHostToDevice, stream_);
  for (const LaneOrder order : kOrders) {
    emulation::set_lane_order(order);
    launch(multiply_tile, 1, 32, 768, stream_, d, reinterpret_cast<const Bf16*>(da),
           reinterpret_cast<const Bf16*>(db));
    const std::vector<float> got = get(d, 128);
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        float want = 0;
        for (int k = 0; k < 16; ++k) want += value_a(row * 16 + k) * value_b(k * 8 + column);
        ASSERT_EQ(got[row * 8 + column], want) << row << "," << column;
      }
    }
  }
}

// Lane 0 of the first warp waits for a store of the last warp.
__global__ void wait_for_the_last_warp(uint32_t* flag) {
  if (threadIdx.x == 0)
    while (load_acquire_system(flag) != 1) pause_lane();
  if (threadIdx.x == 64) store_release_system(flag, 1);
}

TEST_F(Emulation, ALaneThatPausesLetsOthersGoOn) {
  for (const LaneOrder order : kOrders) {
    emulation::set_lane_order(order, 3);
    auto* flag = reinterpret_cast<uint32_t*>(floats(1));
    launch(wait_for_the_last_warp, 1, 96, 0, stream_, flag);
    EXPECT_EQ(report(), "");
  }
}

TEST_F(Emulation, RefusesMemoryThatADeviceDoesNotReach) {
  cudaStream_t other = nullptr;
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  float* x = floats(4);
  EXPECT_THROW(launch(fill, 1, 32, 0, other, x, 1.0f, 4), Error);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(cudaDeviceEnablePeerAccess(0, 0), cudaSuccess);
  EXPECT_EQ(cudaDeviceEnablePeerAccess(0, 0), cudaErrorPeerAccessAlreadyEnabled);
  launch(fill, 1, 32, 0, other, x, 1.0f, 4);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  cudaSetDevice(0);
}

TEST_F(Emulation, OpensNoMemoryOfItsOwnProcess) {
  void* small = floats(4);
  void* large = floats(1 << 15);
  cudaIpcMemHandle_t handle;
  EXPECT_EQ(cudaIpcGetMemHandle(&handle, small), cudaErrorInvalidValue);
  ASSERT_EQ(cudaIpcGetMemHandle(&handle, large), cudaSuccess);
  void* opened = nullptr;
  EXPECT_EQ(cudaIpcOpenMemHandle(&opened, handle, cudaIpcMemLazyEnablePeerAccess),
            cudaErrorDeviceUninitialized);
  EXPECT_EQ(cudaIpcCloseMemHandle(large), cudaErrorInvalidValue);
}

TEST_F(Emulation, MemoryHasALimit) {
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, size_t{1} << 40), cudaErrorMemoryAllocation);
  size_t before = 0, after = 0, total = 0;
  cudaMemGetInfo(&before, &total);
  floats(1024);
  cudaMemGetInfo(&after, &total);
  EXPECT_EQ(before - after, 4096u);
}

}  // namespace
}  // namespace uhd::cuda
