// Tests the backend as a whole: its errors when something is missing, and the promises of its memory and its
// stream.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "kernels/plugin.h"

namespace uhd {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class CudaBackend : public testing::Test {
 protected:
  ~CudaBackend() override {
    emulation::leave_out_event_waits(false);
    emulation::clear_failure();
    emulation::set_devices(8);
  }
};

TEST_F(CudaBackend, SaysThatThereIsNoDevice) {
  emulation::set_devices(0);
  EXPECT_THAT([] { make_cuda_backend({.kind = "cuda"}); },
              ThrowsMessage<Error>("backend.kind=cuda: no CUDA-capable device is detected"));
  EXPECT_THAT(make_backend({.kind = "auto", .threads = 1, .isa = "scalar"})->description(),
              "cpu scalar, 1 thread");
}

TEST_F(CudaBackend, SaysWhichDevicesThereAre) {
  emulation::set_devices(2);
  EXPECT_THAT([] { make_cuda_backend({.kind = "cuda", .device = 2}); },
              ThrowsMessage<Error>(HasSubstr("device 2 is wanted, 2 are there")));
  EXPECT_THAT(make_cuda_backend({.kind = "cuda", .device = 1})->description(), HasSubstr("cuda 1 (emulated"));
}

TEST_F(CudaBackend, OutOfMemorySaysHowMuchAndLeavesTheRest) {
  emulation::set_devices(1, size_t{80} << 20);
  const auto backend = make_cuda_backend({.kind = "cuda"});
  const DeviceBuffer some = backend->allocate(size_t{16} << 20);
  EXPECT_THAT([&] { backend->allocate(size_t{128} << 20); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("device 0 is out of memory: 128.0 MiB wanted"),
                                                  HasSubstr("of 80.0 MiB free"))));
  const std::vector<float> values = {1, 2, 3};
  std::vector<float> got(3);
  const Tensor device = some.as(DType::f32, {3});
  backend->upload(device, Tensor::of(values.data(), {3}));
  backend->download(Tensor::of(got.data(), {3}), device);
  EXPECT_EQ(got, values);
}

TEST_F(CudaBackend, GivesItsMemoryBack) {
  const size_t before = emulation::allocated_bytes(0);
  {
    const auto backend = make_cuda_backend({.kind = "cuda"});
    const DeviceBuffer buffer = backend->allocate(1 << 20);
    EXPECT_GE(emulation::allocated_bytes(0), before + (1 << 20));
  }
  EXPECT_EQ(emulation::allocated_bytes(0), before);
}

// Streams are late: were the host's values read after upload returned, the changed ones would arrive.
TEST_F(CudaBackend, UploadedValuesMayBeChangedAtOnce) {
  const auto backend = make_cuda_backend({.kind = "cuda"});
  constexpr int64_t kCount = 6'000'001;  // more than the staging memory holds
  std::vector<int32_t> values(kCount), got(kCount);
  std::iota(values.begin(), values.end(), 0);
  const DeviceBuffer memory = backend->allocate(kCount * 4);
  const Tensor device = memory.as(DType::i32, {kCount});
  backend->upload(device, Tensor::of(values.data(), {kCount}));
  std::fill(values.begin(), values.end(), -1);
  for (int i = 0; i < 1000; ++i)
    backend->upload(device.slice_rows(7, 3), Tensor::of(std::vector<int32_t>{i, i + 1, i + 2}.data(), {3}));
  backend->download(Tensor::of(got.data(), {kCount}), device);
  EXPECT_EQ(std::vector<int32_t>(got.begin() + 6, got.begin() + 11),
            (std::vector<int32_t>{6, 999, 1000, 1001, 10}));
  EXPECT_EQ(got.back(), kCount - 1);
}

// A matrix larger than the pinned memory, as it lies on the device after it was packed.
std::vector<float> packed(const std::vector<float>& values, int64_t rows, int64_t columns) {
  const auto backend = make_cuda_backend({.kind = "cuda", .compute = WeightFormat::f32});
  const Weight w = backend->pack(Tensor::of(values.data(), {rows, columns}), WeightFormat::f32);
  const auto stride = static_cast<int64_t>(w.data.bytes() / sizeof(float)) / rows;
  std::vector<float> got(static_cast<size_t>(rows * stride));
  backend->download(Tensor::of(got.data(), {rows, stride}), w.data.as(DType::f32, {rows, stride}));
  std::vector<float> dense;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = got.begin() + r * stride;
    EXPECT_TRUE(std::all_of(row + columns, row + stride, [](float v) { return v == 0; })) << r;
    dense.insert(dense.end(), row, row + columns);
  }
  return dense;
}

// Streams are late: a pinned buffer that is filled again before the device has read it would arrive with the
// later contents.
TEST_F(CudaBackend, WeightsStreamThroughPinnedMemory) {
  constexpr int64_t kRows = 5003, kColumns = 1001;
  std::vector<float> values(kRows * kColumns);
  std::iota(values.begin(), values.end(), 1.0f);
  EXPECT_TRUE(packed(values, kRows, kColumns) == values);
  emulation::leave_out_event_waits(true);
  EXPECT_FALSE(packed(values, kRows, kColumns) == values)
      << "the test would not see a buffer reused too early";
}

TEST_F(CudaBackend, AnIndexOutsideItsTensorEndsTheNextWait) {
  const auto backend = make_cuda_backend({.kind = "cuda", .compute = WeightFormat::f32});
  const DeviceBuffer memory = backend->allocate(4096);
  const Tensor x = memory.as(DType::f32, {4, 8});
  const Tensor out(static_cast<float*>(memory.data()) + 64, DType::f32, {1, 8});
  const Tensor index(static_cast<float*>(memory.data()) + 128, DType::i32, {1});
  const std::vector<int32_t> outside = {4};
  backend->upload(index, Tensor::of(outside.data(), {1}));
  EXPECT_NO_THROW(backend->gather_rows(out, x, index));
  EXPECT_THAT([&] { backend->synchronize(); }, ThrowsMessage<Error>(HasSubstr("rows.cu")));
}

}  // namespace
}  // namespace uhd
