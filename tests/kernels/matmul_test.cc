#include <cmath>
#include <cstring>

#include "tests/kernels/support.h"

namespace uhd {
namespace {

class Matmul : public OperationTest {
 protected:
  void compare(int64_t t, int64_t k, int64_t n, WeightFormat format, bool with_bias, Epilogue epilogue,
               double tolerance = 2e-5) {
    SCOPED_TRACE(testing::Message() << t << "x" << k << "x" << n << " " << name_of(format) << " epilogue "
                                    << static_cast<int>(epilogue));
    const Rows x({t, k}, 5);
    const Rows w({n, k}, 3, 0.3f);
    const Rows bias({n});
    Rows out({t, n}, 7);
    const reference::Values before = out.values();
    const Weight weight = backend_->pack(w, format);
    backend_->matmul(out, x, weight, {.bias = with_bias ? bias.tensor() : Tensor(), .epilogue = epilogue});
    backend_->synchronize();
    expect_close(out, reference::matmul(x, w, with_bias ? bias.tensor() : Tensor(), epilogue, format, before),
                 tolerance);
    EXPECT_TRUE(out.untouched());
  }

  // A device may round the weights themselves where rows are many, and int8's are not exact in bfloat16: k
  // errors of at most 2^-9 of a weight (deviation 0.3) times a value, five deviations of their sum.
  double tolerance(int64_t t, int64_t k, WeightFormat format) const {
    const bool rounds = !backend_->host_memory() && t > 32 && format == WeightFormat::int8;
    return rounds ? 5 * 0x1p-9 * 0.3 * std::sqrt(static_cast<double>(k)) : 2e-5;
  }
};

constexpr WeightFormat kQuantized[] = {WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4};

TEST_P(Matmul, EqualsTheReferenceAtOddSizes) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    for (const int64_t t : {1, 2, 3, 5, 6, 7, 13, 49}) {
      compare(t, 1, 1, format, false, Epilogue::none);
      compare(t, 7, 65, format, true, Epilogue::none);
      compare(t, 131, 63, format, true, Epilogue::none);
      compare(t, 64, 130, format, false, Epilogue::none);
    }
    compare(0, 16, 16, format, true, Epilogue::none);
    compare(101, 257, 193, format, true, Epilogue::none);
  }
}

TEST_P(Matmul, AppliesEveryEpilogueAfterTheBias) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    for (const Epilogue e :
         {Epilogue::gelu, Epilogue::gelu_tanh, Epilogue::quick_gelu, Epilogue::add, Epilogue::none}) {
      compare(3, 33, 71, format, true, e);
      compare(9, 18, 64, format, false, e);
    }
  }
}

TEST_P(Matmul, OfQuantizedWeightsEqualsTheReferenceAtOddSizes) {
  for (const WeightFormat format : kQuantized) {
    for (const int64_t t : {1, 2, 7, 8, 9, 17, 33}) {
      compare(t, 1, 1, format, false, Epilogue::none, tolerance(t, 1, format));
      compare(t, 7, 65, format, true, Epilogue::none, tolerance(t, 7, format));
      compare(t, 131, 17, format, true, Epilogue::none, tolerance(t, 131, format));
      compare(t, 320, 48, format, false, Epilogue::none, tolerance(t, 320, format));
    }
    compare(0, 16, 16, format, true, Epilogue::none);
    compare(70, 257, 130, format, true, Epilogue::none, tolerance(70, 257, format));
    compare(3, 2304, 16, format, true, Epilogue::none, tolerance(3, 2304, format));
    for (const Epilogue e : {Epilogue::gelu, Epilogue::gelu_tanh, Epilogue::quick_gelu, Epilogue::add}) {
      compare(3, 33, 71, format, true, e);
      compare(35, 64, 24, format, false, e, tolerance(35, 64, format));
    }
  }
}

// The columns that a rank holds have the codes of the whole matrix.
TEST_P(Matmul, OfQuantizedShardsHasTheCodesOfTheWhole) {
  constexpr int64_t kRows = 3, kInputs = 96, kOutputs = 18;
  const Rows w({kOutputs, kInputs}, 0, 0.3f);
  const Rows x({kRows, kInputs});
  std::vector<bf16> halves;
  for (const double v : w.values()) halves.push_back(bf16(static_cast<float>(v)));
  const Tensor whole = Tensor::of(halves.data(), {kOutputs, kInputs});
  for (const WeightFormat format : kQuantized) {
    const reference::Values held = reference::dequantized(whole, format);
    for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 64}, {64, 32}}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << ", columns from " << first);
      reference::Values want;
      for (int64_t i = 0; i < kRows * kOutputs; ++i) {
        double sum = 0;
        for (int64_t k = first; k < first + count; ++k) {
          const auto value = static_cast<float>(reference::element(x, i / kOutputs, k));
          sum += static_cast<float>(bf16(value)) * held[i % kOutputs * kInputs + k];
        }
        want.push_back(sum);
      }
      Rows out({kRows, kOutputs});
      backend_->matmul(out, x.tensor().slice_columns(first, count),
                       backend_->pack(whole.slice_columns(first, count), format, whole));
      backend_->synchronize();
      expect_close(out, want, 2e-5);
    }
  }
}

using MatmulBits = Matmul;

TEST_P(MatmulBits, GivesARowTheSameBitsWhateverStandsBesideIt) {
  constexpr int64_t kRows = 103;
  for (const WeightFormat format :
       {WeightFormat::f32, WeightFormat::bf16, WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4}) {
    const Rows x({kRows, 1027});
    const Rows w({97, 1027});
    const Rows bias({97});
    const Weight weight = backend_->pack(w, format);
    const MatmulOptions options{.bias = bias, .epilogue = Epilogue::gelu};
    Rows all({kRows, 97});
    backend_->matmul(all, x, weight, options);
    for (const int64_t count : {1, 2, 5, 7, 20, 50}) {
      Rows some({count, 97});
      for (const int64_t first : {int64_t{0}, int64_t{3}, kRows - count}) {
        backend_->matmul(some, x.tensor().slice_rows(first, count), weight, options);
        const Tensor same = all.tensor().slice_rows(first, count);
        if (GetParam().bits_of_a_row) {
          EXPECT_EQ(std::memcmp(some.tensor().raw(), same.raw(), count * 97 * 4), 0)
              << count << " rows from " << first;
        } else {
          const reference::Values values(same.row<float>(0), same.row<float>(0) + count * 97);
          expect_close(some, values, 2e-5);
        }
      }
    }
  }
}

TEST_P(Matmul, PacksEverySourceTypeAndShardsOfALargerMatrix) {
  const Rows whole({70, 40});
  std::vector<bf16> as_bf16;
  std::vector<f16> as_f16;
  for (double v : whole.values()) {
    as_bf16.push_back(bf16(static_cast<float>(v)));
    as_f16.push_back(f16(static_cast<float>(v)));
  }
  const Rows x({4, 19});
  for (const Tensor& source :
       {whole.tensor(), Tensor::of(as_bf16.data(), {70, 40}), Tensor::of(as_f16.data(), {70, 40})}) {
    // These are columns 11..30 and rows 3..69: the part of one rank of several.
    const Tensor shard = source.slice_rows(3, 66).slice_columns(11, 19);
    for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
      Rows out({4, 66});
      backend_->matmul(out, x, backend_->pack(shard, format));
      expect_close(out, reference::matmul(x, shard, {}, Epilogue::none, format, {}), 2e-5);
    }
  }
}

// Rows of several matrices, of several types, and zero rows below.
TEST_P(Matmul, PacksPartsAsTheOneMatrixThatTheyMake) {
  for (const auto& [k, zeros] : {std::pair<int64_t, int64_t>{150, 0}, {7, 5}, {129, 64}, {1, 1}}) {
    const Rows first({70, k}), second({3, k}), third({61, k});
    std::vector<bf16> as_bf16;
    std::vector<f16> as_f16;
    for (const double v : second.values()) as_bf16.push_back(bf16(static_cast<float>(v)));
    for (const double v : third.values()) as_f16.push_back(f16(static_cast<float>(v)));
    const std::vector<Tensor> parts = {
        first.tensor().slice_rows(1, 66), Tensor::of(as_bf16.data(), {3, k}).slice_rows(0, 0),
        Tensor::of(as_bf16.data(), {3, k}), Tensor::of(as_f16.data(), {61, k})};
    const int64_t rows = 130 + zeros;
    std::vector<float> all;
    for (const Tensor& part : parts)
      for (int64_t r = 0; r < part.rows(); ++r)
        for (int64_t i = 0; i < k; ++i) all.push_back(static_cast<float>(reference::element(part, r, i)));
    all.resize(static_cast<size_t>(rows * k));
    const Tensor whole = Tensor::of(all.data(), {rows, k});
    const Rows x({3, k});
    for (const WeightFormat format :
         {WeightFormat::f32, WeightFormat::bf16, WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4}) {
      if (!backend_->packs_parts(format)) {
        EXPECT_THROW(backend_->pack_parts(parts, format, rows), Error);
        continue;
      }
      Rows out({3, rows});
      backend_->matmul(out, x, backend_->pack_parts(parts, format, rows));
      expect_close(out, reference::matmul(x, whole, {}, Epilogue::none, format, {}), 2e-5);
      EXPECT_THROW(backend_->pack_parts(parts, format, 129), Error);
    }
  }
}

TEST_P(Matmul, KeepsLongSumsInFloat) {
  compare(2, 4099, 70, WeightFormat::f32, false, Epilogue::none, 2e-4);
  compare(2, 4099, 70, WeightFormat::bf16, false, Epilogue::none, 2e-4);
  for (const WeightFormat format : kQuantized) compare(2, 4099, 16, format, false, Epilogue::none, 2e-4);
}

UHD_FOR_EVERY_BACKEND(Matmul);
UHD_FOR_BACKENDS_OF_EQUAL_BITS(MatmulBits);

}  // namespace
}  // namespace uhd
