// Tests products of codes with codes (int8 weights and activations), and the arithmetic of tiles: both are
// defined to the last bit.
#include <cmath>
#include <cstring>

#include "kernels/cpu/isa.h"
#include "kernels/quantize.h"
#include "tests/kernels/support.h"

namespace uhd {
namespace {

std::vector<const cpu::Table*> all_tables() {
  std::vector<const cpu::Table*> tables = cpu::available_tables();
  for (const cpu::Table* twin : cpu::twin_tables()) tables.push_back(twin);
  return tables;
}

// The definition in kernels/cpu/table.h, in plain words.
cpu::RowCodes codes_of(std::vector<int8_t>& codes, const float* x, int64_t n) {
  codes.assign(static_cast<size_t>(n), 0);
  float most = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    most = std::max(most, std::abs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  if (!finite) return {std::nanf(""), 0};
  if (most < 1e-30f) return {0.0f, 0};
  cpu::RowCodes row{most / 127.0f, 0};
  for (int64_t i = 0; i < n; ++i) {
    codes[i] = static_cast<int8_t>(std::nearbyint(x[i] * (127.0f / most)));
    row.sum += codes[i];
  }
  return row;
}

TEST(RowCodes, AreThoseOfTheirDefinitionInEveryTable) {
  for (const cpu::Table* table : all_tables()) {
    for (const int64_t n : {1, 3, 15, 16, 17, 64, 131}) {
      SCOPED_TRACE(testing::Message() << table->name << ", " << n << " values");
      const Rows x({6, n}, 0, 3.0f);
      Tensor rows = x.tensor();
      for (int64_t i = 0; i < n; ++i) {
        rows.row<float>(1)[i] = 0;
        rows.row<float>(2)[i] *= 1e-33f;
        rows.row<float>(3)[i] *= 0x1p120f;
      }
      rows.row<float>(4)[n - 1] = std::nanf("");
      rows.row<float>(5)[n / 2] = -INFINITY;
      for (int64_t r = 0; r < 6; ++r) {
        std::vector<int8_t> want, got(static_cast<size_t>(n) + 1, 99);
        const cpu::RowCodes expected = codes_of(want, rows.row<float>(r), n);
        const cpu::RowCodes row = table->to_int8(got.data(), rows.row<float>(r), n);
        EXPECT_EQ(got.back(), 99) << "written past the end";
        got.pop_back();
        EXPECT_EQ(got, want) << "row " << r;
        EXPECT_EQ(row.sum, expected.sum);
        if (std::isnan(expected.scale))
          EXPECT_TRUE(std::isnan(row.scale));
        else
          EXPECT_EQ(row.scale, expected.scale);
      }
    }
  }
}

class CodedProducts : public testing::TestWithParam<BackendCase> {
 protected:
  CodedProducts() {
    BackendOptions options = GetParam().options;
    options.quantize_activations = true;
    backend_ = make_backend(options);
  }
  std::unique_ptr<Backend> backend_;
};

// Sums of codes are integers, so that every table has the same bits before a bias.
TEST_P(CodedProducts, AreExactAtOddSizes) {
  for (const auto& [t, k, n] : {std::array<int64_t, 3>{1, 1, 1},
                                {2, 7, 65},
                                {7, 131, 63},
                                {13, 64, 130},
                                {33, 257, 70},
                                {49, 1030, 33}}) {
    SCOPED_TRACE(testing::Message() << t << "x" << k << "x" << n);
    const Rows x({t, k}, 5), w({n, k}, 3, 0.3f);
    Rows out({t, n}, 7);
    backend_->matmul(out, x, backend_->pack(w, WeightFormat::int8));
    EXPECT_TRUE(out.untouched());
    RowQuantizer quantizer(w, {}, WeightFormat::int8);
    std::vector<std::vector<int8_t>> codes(static_cast<size_t>(t));
    std::vector<cpu::RowCodes> rows;
    for (int64_t r = 0; r < t; ++r) rows.push_back(codes_of(codes[r], x.tensor().row<float>(r), k));
    for (int64_t column = 0; column < n; ++column) {
      quantizer.quantize(column);
      for (int64_t r = 0; r < t; ++r) {
        int32_t sum = 0;
        for (int64_t i = 0; i < k; ++i) sum += codes[r][i] * static_cast<int8_t>(quantizer.codes()[i]);
        const float want = static_cast<float>(sum) * rows[r].scale * quantizer.scales()[0];
        ASSERT_EQ(out.at(r, column), want) << "row " << r << ", column " << column;
      }
    }
  }
}

TEST_P(CodedProducts, AreNearTheProductAndTakeBiasAndEpilogue) {
  const Rows x({21, 300}), w({70, 300}, 0, 0.3f), bias({70});
  Rows out({21, 70});
  const reference::Values before = out.values();
  backend_->matmul(out, x, backend_->pack(w, WeightFormat::int8), {.bias = bias, .epilogue = Epilogue::add});
  // Each factor errs by half a code at most: two uniform errors of deviation m / 127 / √12 with m about 3.5
  // deviations, in a sum of 300, six deviations of it.
  const double tolerance = 6 * std::sqrt(300.0) * 0.3 * std::sqrt(2.0) * 3.5 / 127 / std::sqrt(12.0);
  expect_close(out, reference::matmul(x, w, bias, Epilogue::add, WeightFormat::f32, before), tolerance);
}

TEST_P(CodedProducts, GiveARowTheSameBitsWhateverStandsBesideIt) {
  const Rows x({103, 259}), w({97, 259}), bias({97});
  const Weight weight = backend_->pack(w, WeightFormat::int8);
  const MatmulOptions options{.bias = bias, .epilogue = Epilogue::gelu};
  Rows all({103, 97});
  backend_->matmul(all, x, weight, options);
  for (const int64_t count : {1, 2, 7, 50}) {
    Rows some({count, 97});
    backend_->matmul(some, x.tensor().slice_rows(3, count), weight, options);
    EXPECT_EQ(std::memcmp(some.tensor().raw(), all.tensor().row<float>(3), count * 97 * 4), 0) << count;
  }
}

TEST_P(CodedProducts, SpoilOnlyTheRowThatIsNotFinite) {
  const Rows x({4, 40}), w({20, 40});
  const Weight weight = backend_->pack(w, WeightFormat::int8);
  Rows clean({4, 20}), out({4, 20});
  backend_->matmul(clean, x, weight);
  x.tensor().row<float>(2)[11] = INFINITY;
  backend_->matmul(out, x, weight);
  for (int64_t r = 0; r < 4; ++r)
    for (int64_t i = 0; i < 20; ++i) {
      if (r == 2)
        EXPECT_TRUE(std::isnan(out.at(r, i)));
      else
        EXPECT_EQ(out.at(r, i), clean.at(r, i));
    }
}

TEST_P(CodedProducts, RefuseMoreInputsThanASumHolds) {
  const Rows w({1, 100});
  Weight weight = backend_->pack(w, WeightFormat::int8);
  weight.k = cpu::kMostCodes;
  std::vector<float> x(static_cast<size_t>(weight.k));
  Rows out({1, 1});
  EXPECT_THROW(backend_->matmul(out, Tensor::of(x.data(), {1, weight.k}), weight), Error);
}

UHD_FOR_EVERY_BACKEND(CodedProducts);

// Tiles have an arithmetic of their own (kernels/cpu/amx_twin.h). The twin is compared with it everywhere,
// and the instructions where the processor has them.
class TileSums : public testing::TestWithParam<BackendCase> {};

std::vector<BackendCase> tile_cases() {
  std::vector<BackendCase> cases;
  for (const BackendCase& which : backend_cases())
    if (which.options.isa.starts_with("amx")) cases.push_back(which);
  return cases;
}

float flushed(float x) { return std::abs(x) < 0x1p-126f ? 0.0f : x; }
float rounded(float x) { return flushed(static_cast<float>(bf16(x))); }

float sum_by_tiles(const float* x, const float* w, int64_t k) {
  float sum = 0;
  for (int64_t first = 0; first < k; first += 32) {
    float chains[2] = {};
    for (int64_t i = first; i < std::min(k, first + 32); ++i)
      chains[i % 2] = flushed(std::fma(rounded(x[i]), rounded(w[i]), chains[i % 2]));
    sum = flushed(sum + flushed(chains[0] + chains[1]));
  }
  return sum;
}

TEST_P(TileSums, HaveTheBitsOfTheirDefinition) {
  const auto backend = make_backend(GetParam(), WeightFormat::bf16);
  for (const auto& [t, k, n] :
       {std::array<int64_t, 3>{1, 5, 3}, {17, 33, 65}, {70, 64, 33}, {35, 1100, 40}}) {
    SCOPED_TRACE(testing::Message() << t << "x" << k << "x" << n);
    const Rows x({t, k}), w({n, k});
    for (int64_t i = 0; i < k; i += 3) {  // products below the smallest normal number, and operands
      x.tensor().row<float>(0)[i] *= 0x1p-70f;
      w.tensor().row<float>(0)[i] *= 0x1p-60f;
      x.tensor().row<float>(t - 1)[i] *= 0x1p-128f;
      w.tensor().row<float>(n - 1)[i] *= 0x1p+100f;
    }
    Rows out({t, n});
    backend->matmul(out, x, backend->pack(w, WeightFormat::bf16));
    for (int64_t r = 0; r < t; ++r)
      for (int64_t i = 0; i < n; ++i) {
        const float want = sum_by_tiles(x.tensor().row<float>(r), w.tensor().row<float>(i), k);
        ASSERT_EQ(out.at(r, i), want) << "row " << r << ", column " << i;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, TileSums, testing::ValuesIn(tile_cases()), case_name);

}  // namespace
}  // namespace uhd
