// Tests where copies to the device run: beside the kernels, and in their order.
#include "kernels/cuda/staging.h"

#include <gtest/gtest.h>

#include "emulation/cuda.h"
#include "emulation/streams.h"

namespace uhd::cuda {
namespace {

class CudaStaging : public testing::Test {
 protected:
  CudaStaging() {
    cudaStreamCreateWithFlags(&kernels_, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking);
    void* memory = nullptr;
    cudaMalloc(&memory, sizeof(int));
    place_ = static_cast<int*>(memory);
  }
  ~CudaStaging() override {
    EXPECT_EQ(cudaStreamSynchronize(kernels_), cudaSuccess);
    cudaFree(place_);
    cudaStreamDestroy(kernels_);
    cudaStreamDestroy(beside_);
    EXPECT_EQ(emulation::failure(), "");
  }
  // A kernel that reads the place.
  void look(int& seen) {
    emulation::enqueue(kernels_, "a kernel", [this, &seen] { seen = *place_; }, {place_});
  }

  cudaStream_t kernels_ = nullptr, beside_ = nullptr;
  int* place_ = nullptr;
};

TEST_F(CudaStaging, CrossesTheBusBesideTheKernels) {
  Staging staging(kernels_, beside_, 1024);
  const int first = 7;
  staging.upload(place_, &first, sizeof(first));
  int seen = 0;
  look(seen);
  const int second = 8;
  staging.upload(place_, &second, sizeof(second));
  ASSERT_EQ(cudaStreamSynchronize(beside_), cudaSuccess);
  EXPECT_EQ(seen, 0) << "an upload waited for a kernel";
  EXPECT_EQ(cudaStreamQuery(kernels_), cudaErrorNotReady);
  ASSERT_EQ(cudaStreamSynchronize(kernels_), cudaSuccess);
  EXPECT_EQ(seen, first) << "an upload overtook a kernel";
  EXPECT_EQ(*place_, second);
}

// Both halves are filled several times before the kernels' stream goes on by itself.
TEST_F(CudaStaging, KeepsWhatTheKernelsHaveNotTaken) {
  Staging staging(kernels_, beside_, 1024);
  constexpr int kMany = 100;
  int seen[kMany] = {};
  for (int i = 0; i < kMany; ++i) {
    const int value = i + 1;
    staging.upload(place_, &value, sizeof(value));
    look(seen[i]);
  }
  ASSERT_EQ(cudaStreamSynchronize(kernels_), cudaSuccess);
  for (int i = 0; i < kMany; ++i) EXPECT_EQ(seen[i], i + 1);
}

}  // namespace
}  // namespace uhd::cuda
