// Tests our reading of the fragments of mma and ldmatrix against plain products. In emulation this compares
// it with itself written a second time; on a GPU, with the hardware.
#include "tests/cuda/tensor_core_cases.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/dtype.h"

namespace uhd::cuda {
namespace {

class TensorCores : public testing::Test {
 protected:
  TensorCores() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
    for (void*& p : memory_) check_cuda(cudaMalloc(&p, 1024), "allocating memory");
    for (int i = 0; i < 256; ++i) {  // small integers: every sum is exact
      a_[i] = bf16(static_cast<float>(i * 7 % 13 - 6));
      b_[i] = bf16(static_cast<float>(i * 5 % 11 - 5));
    }
  }
  ~TensorCores() override {
    for (void* p : memory_) cudaFree(p);
    cudaStreamDestroy(stream_);
  }

  // Returns the results of multiply_tiles: a · bᵀ, then a · b.
  std::array<std::vector<float>, 2> run(int rows) {
    check_cuda(cudaMemcpyAsync(memory_[2], a_.data(), 512, cudaMemcpyHostToDevice, stream_), "upload");
    check_cuda(cudaMemcpyAsync(memory_[3], b_.data(), 512, cudaMemcpyHostToDevice, stream_), "upload");
    multiply_tiles(stream_, static_cast<float*>(memory_[0]), static_cast<float*>(memory_[1]), memory_[2],
                   memory_[3], rows);
    std::array<std::vector<float>, 2> got{std::vector<float>(256), std::vector<float>(256)};
    for (size_t i = 0; i < 2; ++i)
      check_cuda(cudaMemcpyAsync(got[i].data(), memory_[i], 1024, cudaMemcpyDeviceToHost, stream_),
                 "download");
    check_cuda(cudaStreamSynchronize(stream_), "waiting");
    return got;
  }
  float a(int row, int column) const { return static_cast<float>(a_[row * 16 + column]); }
  float b(int row, int column) const { return static_cast<float>(b_[row * 16 + column]); }

  cudaStream_t stream_ = nullptr;
  std::array<void*, 4> memory_{};
  std::array<bf16, 256> a_, b_;
};

TEST_F(TensorCores, ProductsEqualThePlainOnes) {
  for (const int rows : {16, 13, 1}) {
    const auto [by_rows, by_columns] = run(rows);
    for (int r = 0; r < 16; ++r) {
      for (int c = 0; c < 16; ++c) {
        float with_rows = 0, with_columns = 0;
        for (int k = 0; k < 16; ++k) {
          if (c < rows) with_rows += a(r, k) * b(c, k);
          if (k < rows) with_columns += a(r, k) * b(k, c);
        }
        ASSERT_EQ(by_rows[r * 16 + c], with_rows) << r << "," << c << " of " << rows;
        ASSERT_EQ(by_columns[r * 16 + c], with_columns) << r << "," << c << " of " << rows;
      }
    }
  }
}

}  // namespace
}  // namespace uhd::cuda
