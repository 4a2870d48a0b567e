#include <cmath>

#include "kernels/math.h"
#include "tests/kernels/support.h"

namespace uhd {
namespace {

using RowOperations = OperationTest;

const std::vector<Shape> kShapes = {{1, 1}, {3, 7}, {5, 64}, {2, 65}, {37, 131}, {0, 8}};

TEST_P(RowOperations, RmsNorm) {
  for (const Shape& shape : kShapes) {
    const Rows x(shape, 3);
    const Rows w({shape[1]});
    Rows out(shape, 2);
    backend_->rms_norm(out, x, w, 1e-6f);
    expect_close(out, reference::rms_norm(x, w, 1e-6f), 2e-6);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(RowOperations, AddRmsNormKeepsTheSum) {
  for (const Shape& shape : kShapes) {
    Rows residual(shape, 4);
    const Rows x(shape, 3);
    const Rows w({shape[1]});
    Rows out(shape, 2);
    const reference::Values sum = reference::add(residual, x);
    backend_->add_rms_norm(residual, x, w, out, 1e-5f);
    expect_close(residual, sum, 1e-7);
    expect_close(out, reference::rms_norm(residual, w, 1e-5f), 2e-6);
    EXPECT_TRUE(out.untouched() && residual.untouched());
  }
}

TEST_P(RowOperations, LayerNorm) {
  for (const Shape& shape : kShapes) {
    Rows x(shape, 3);
    for (int64_t r = 0; r < shape[0]; ++r)
      for (int64_t i = 0; i < shape[1]; ++i)
        x.at(r, i) += 5.0f;  // a mean beside which the deviation is small
    const Rows w({shape[1]});
    const Rows b({shape[1]});
    Rows out(shape, 2);
    backend_->layer_norm(out, x, w, b, 1e-5f);
    expect_close(out, reference::layer_norm(x, w, b, 1e-5f), 1e-5);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(RowOperations, HeadNormTakesEachHeadAlone) {
  for (const int64_t d : {1, 6, 48, 64, 128, 300}) {
    for (const int64_t tokens : {0, 1, 5}) {
      Rows q({tokens, 3, d}, 4);
      Rows k({tokens, 2, d}, 8);
      const Rows q_w({d}), k_w({d});
      const reference::Values want_q = reference::head_norm(q, q_w, 1e-6f);
      const reference::Values want_k = reference::head_norm(k, k_w, 1e-6f);
      backend_->head_norm(q, k, q_w, k_w, 1e-6f);
      expect_close(q, want_q, 2e-6);
      expect_close(k, want_k, 2e-6);
      EXPECT_TRUE(q.untouched() && k.untouched());
    }
  }
}

TEST_P(RowOperations, Rope) {
  for (const int64_t d : {2, 6, 64, 128}) {
    const std::vector<int32_t> positions = {3, 0, 18, 7, 7};
    Rows table({19, 2, d / 2});
    Rows q({5, 3, d}, 4);
    Rows k({5, 1, d}, 2);
    const reference::Values want_q = reference::rope(q, positions, table);
    const reference::Values want_k = reference::rope(k, positions, table);
    backend_->rope(q, k, indices(positions), table);
    expect_close(q, want_q, 2e-6);
    expect_close(k, want_k, 2e-6);
    EXPECT_TRUE(q.untouched() && k.untouched());
  }
}

TEST_P(RowOperations, SiluMul) {
  for (const int64_t n : {1, 31, 64, 129}) {
    const Rows gate_up({7, 2 * n}, 3, 4.0f);
    Rows out({7, n}, 5);
    backend_->silu_mul(out, gate_up);
    expect_close(out, reference::silu_mul(gate_up), 2e-6);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(RowOperations, AddTakesOneRowForAll) {
  for (const Shape& shape : kShapes) {
    const Rows a(shape, 3);
    const Rows b(shape, 1);
    const Rows one({1, shape[1]});
    Rows out(shape, 2);
    backend_->add(out, a, b);
    expect_close(out, reference::add(a, b), 1e-7);
    backend_->add(out, a, one);
    expect_close(out, reference::add(a, one), 1e-7);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(RowOperations, GatherScatterAndAddRows) {
  const Rows x({9, 13}, 2);
  const std::vector<int32_t> at = {8, 0, 3, 5};
  Rows out({4, 13}, 3);
  backend_->gather_rows(out, x, indices(at));
  Rows target({9, 13}, 4);
  Rows sum({4, 13}, 1);
  const reference::Values before = target.values();
  const reference::Values sum_before = sum.values();
  backend_->scatter_rows(target, out, indices(at));
  backend_->add_rows(sum, x, indices(at));
  reference::Values want_gather, want_sum, want_scatter = before;
  for (size_t i = 0; i < at.size(); ++i) {
    for (int64_t c = 0; c < 13; ++c) {
      const double value = reference::element(x, at[i], c);
      want_gather.push_back(value);
      want_sum.push_back(sum_before[i * 13 + c] + value);
      want_scatter[at[i] * 13 + c] = value;
    }
  }
  expect_close(out, want_gather, 0);
  expect_close(target, want_scatter, 0);
  expect_close(sum, want_sum, 1e-7);
  EXPECT_TRUE(out.untouched() && target.untouched() && sum.untouched());
  if (!GetParam().recovers) return;
  for (const int32_t bad : {-1, 9}) {
    EXPECT_THROW(backend_->gather_rows(out, x, indices({0, bad, 0, 0})), Error);
    EXPECT_THROW(backend_->scatter_rows(target, out, indices({0, bad, 1, 2})), Error);
    EXPECT_THROW(backend_->add_rows(sum, x, indices({0, bad, 0, 0})), Error);
  }
}

TEST_P(RowOperations, EmbedGivesZeroRowsToIdsOfOtherShards) {
  const Rows table({11, 21}, 3);
  std::vector<bf16> as_bf16;
  std::vector<f16> as_f16;
  for (double v : table.values()) {
    as_bf16.push_back(bf16(static_cast<float>(v)));
    as_f16.push_back(f16(static_cast<float>(v)));
  }
  const std::vector<int32_t> ids = {20, 30, 19, 31, 0, 25};
  for (const Tensor& t :
       {table.tensor(), Tensor::of(as_bf16.data(), {11, 21}), Tensor::of(as_f16.data(), {11, 21})}) {
    Rows out({6, 21}, 2);
    backend_->embed(out, t, indices(ids), 20);
    expect_close(out, reference::embed(t, ids, 20), 0);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(RowOperations, ArgmaxTakesTheFirstLargest) {
  for (const int64_t n : {1, 2, 15, 17, 64, 1001}) {
    Rows logits({3, n}, 5);
    for (int64_t r = 0; r < 3; ++r) {
      const int64_t best = (r * 7 + n - 1) % n;
      for (int64_t i = 0; i < n; ++i) logits.at(r, i) = std::min(logits.at(r, i), 8.0f);
      for (int64_t i = best; i < n; i += 9) logits.at(r, i) = 9.0f;
    }
    std::vector<int32_t> ids(3);
    Rows values({3});
    backend_->argmax(indices(ids), values, logits);
    for (int64_t r = 0; r < 3; ++r) {
      EXPECT_EQ(ids[r], (r * 7 + n - 1) % n) << n;
      EXPECT_EQ(values.at(r, 0), 9.0f);
    }
  }
  Rows lowest({1, 5});
  for (int64_t i = 0; i < 5; ++i) lowest.at(0, i) = -INFINITY;
  std::vector<int32_t> ids(1, 7);
  Rows values({1});
  backend_->argmax(indices(ids), values, lowest);
  EXPECT_EQ(ids[0], 0);
}

TEST_P(RowOperations, MaskLogitsLeavesTheTokensOfItsBits) {
  // Shards that begin within a word, and one that reaches beyond the last.
  for (const int64_t first : {0, 5, 700, 1000}) {
    for (const int64_t width : {1, 31, 333, 1025}) {
      Rows logits({5, width}, 3);
      const reference::Values before = logits.values();
      const std::vector<int32_t> rows = {4, 0, 2};
      std::vector<int32_t> masks(3 * 33);
      for (size_t i = 0; i < masks.size(); ++i) masks[i] = static_cast<int32_t>(i * 2654435761u);
      backend_->mask_logits(logits, indices(rows), indices(masks).reshaped({3, 33}), first);
      reference::Values want = before;
      for (size_t i = 0; i < rows.size(); ++i) {
        for (int64_t c = 0; c < width; ++c) {
          const auto id = static_cast<size_t>(first + c);
          const bool may =
              id < 33 * 32 && (static_cast<uint32_t>(masks[i * 33 + id / 32]) >> id % 32 & 1) != 0;
          if (!may) want[static_cast<size_t>(rows[i] * width + c)] = -INFINITY;
        }
      }
      EXPECT_EQ(logits.values(), want) << first << ' ' << width;
      EXPECT_TRUE(logits.untouched());
    }
  }
  if (!GetParam().recovers) return;
  Rows logits({5, 8});
  for (const int32_t bad : {-1, 5}) {
    const std::vector<int32_t> rows = {bad}, masks = {1};
    EXPECT_THROW(backend_->mask_logits(logits, indices(rows), indices(masks).reshaped({1, 1}), 0), Error);
  }
}

TEST_P(RowOperations, BestOfShardsTakesTheLowestOfTheLargestThatIsANumber) {
  // Three shards of 10 ids, of which 24 are real; a row each: the third wins, equals, padding, no number.
  const std::vector<int32_t> part_ids = {4, 1, 0, 0, 9,  //
                                         3, 2, 0, 0, 0,  //
                                         3, 3, 4, 0, 0};
  std::vector<float> values = {1, 5, -2, -INFINITY, NAN,       //
                               2, 5, -3, -INFINITY, INFINITY,  //
                               3, 4, 9,  -INFINITY, 1};
  std::vector<int32_t> ids(5, 7);
  backend_->best_of_shards(indices(ids), indices(part_ids).reshaped({3, 5}),
                           Tensor::of(values.data(), {3, 5}), 10, 24);
  EXPECT_EQ(ids, (std::vector<int32_t>{23, 1, 0, -1, -1}));
}

TEST_P(RowOperations, TakeDrawnReplacesTheIdsThatAreNamed) {
  std::vector<int32_t> ids(300), at(300), want(300);
  const std::vector<int32_t> drawn = {50, -1, 52};
  for (int32_t t = 0; t < 300; ++t) {
    const auto i = static_cast<size_t>(t);
    ids[i] = 1000 + t;
    at[i] = t % 4 - 1;
    want[i] = at[i] < 0 ? ids[i] : drawn[static_cast<size_t>(at[i])];
  }
  backend_->take_drawn(indices(ids), indices(drawn), indices(at));
  EXPECT_EQ(ids, want);
}

TEST_P(RowOperations, CastsBetweenFloats) {
  Rows x({3, 35}, 2);
  x.at(0, 0) = 65520.0f;     // to f16: past the largest, infinity
  x.at(0, 1) = 1.00390625f;  // to bf16: a tie, to even
  x.at(0, 2) = -0.0f;
  std::vector<bf16> half_b(105);
  std::vector<f16> half_f(105);
  const Tensor b = Tensor::of(half_b.data(), {3, 35});
  const Tensor f = Tensor::of(half_f.data(), {3, 35});
  backend_->cast(b, x);
  backend_->cast(f, x);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t i = 0; i < 35; ++i) {
      EXPECT_EQ(half_b[r * 35 + i].bits, bf16(x.at(r, i)).bits);
      EXPECT_EQ(half_f[r * 35 + i].bits, f16(x.at(r, i)).bits);
    }
  }
  Rows back({3, 35}, 1);
  backend_->cast(back, b);
  for (int64_t i = 0; i < 35; ++i) EXPECT_EQ(back.at(2, i), static_cast<float>(half_b[70 + i]));
  backend_->cast(back, f);
  for (int64_t i = 0; i < 35; ++i) EXPECT_EQ(back.at(2, i), static_cast<float>(half_f[70 + i]));
  std::vector<f16> again(105);
  backend_->cast(Tensor::of(again.data(), {3, 35}), b);
  EXPECT_EQ(again[40].bits, f16(static_cast<float>(half_b[40])).bits);
  EXPECT_TRUE(back.untouched());
}

TEST_P(RowOperations, ActivationsMatchTheSharedScalarFunctions) {
  // An identity matrix hands each value to the epilogue unchanged.
  constexpr int64_t kCount = 4096;
  const std::vector<float> one = {1.0f};
  const Weight identity = backend_->pack(Tensor::of(one.data(), {1, 1}), WeightFormat::f32);
  Rows x({kCount, 1});
  for (int64_t i = 0; i < kCount; ++i) x.at(i, 0) = -24.0f + 48.0f * static_cast<float>(i) / kCount;
  x.at(0, 0) = -1e30f;
  x.at(1, 0) = 1e30f;
  x.at(2, 0) = -100.0f;
  x.at(3, 0) = 100.0f;
  Rows out({kCount, 1});
  const std::vector<std::pair<Epilogue, float (*)(float)>> functions = {
      {Epilogue::gelu, gelu}, {Epilogue::gelu_tanh, gelu_tanh}, {Epilogue::quick_gelu, quick_gelu}};
  for (const auto& [epilogue, function] : functions) {
    if (epilogue == Epilogue::gelu_tanh) x.at(0, 0) = x.at(2, 0);  // the cube of the first overflows
    backend_->matmul(out, x, identity, {.epilogue = epilogue});
    for (int64_t i = 0; i < kCount; ++i) {
      const double want = function(x.at(i, 0));
      const double allowed = bf16_activations ? 1e-2 : 1e-6;
      ASSERT_LE(std::abs(out.at(i, 0) - want), allowed * (1 + std::abs(want))) << x.at(i, 0);
    }
  }
}

TEST_P(RowOperations, NanStaysNan) {
  Rows x({2, 40});
  x.at(1, 17) = NAN;
  const Rows w({40});
  Rows out({2, 40});
  backend_->rms_norm(out, x, w, 1e-6f);
  EXPECT_TRUE(std::isnan(out.at(1, 3)));
  EXPECT_FALSE(std::isnan(out.at(0, 3)));
  Rows product({2, 20});
  backend_->silu_mul(product, x);
  EXPECT_TRUE(std::isnan(product.at(1, 17)));
  EXPECT_FALSE(std::isnan(product.at(1, 16)));
}

// Every place of a row counts, whatever the width; the gaps between rows do not.
TEST_P(RowOperations, FiniteRowsFindsEveryValueThatIsNot) {
  for (const Shape& shape : kShapes) {
    Rows x(shape, 8);
    const auto rows = static_cast<size_t>(shape[0]);
    std::vector<int32_t> flags(rows, 7), want(rows, 1);
    if (rows > 0) x.at(0, 0) = -3e38f;  // in bf16 too the largest but a few
    backend_->finite_rows(indices(flags), x);
    EXPECT_EQ(flags, want);
    for (int64_t r = 1; r < shape[0]; ++r) {
      const float broken[] = {NAN, INFINITY, -INFINITY, -NAN};
      x.at(r, r * 31 % shape[1]) = broken[r % 4];
      want[static_cast<size_t>(r)] = 0;
    }
    backend_->finite_rows(indices(flags), x);
    EXPECT_EQ(flags, want);
  }
  for (const int64_t last : {0, 63, 1023, 1024, 4095}) {
    Rows x({2, last + 1});
    std::vector<int32_t> flags(2);
    x.at(1, last) = NAN;
    backend_->finite_rows(indices(flags), x);
    EXPECT_EQ(flags, (std::vector<int32_t>{1, 0})) << last;
  }
}

TEST_P(RowOperations, FiniteRowsLooksAtBf16) {
  std::vector<bf16> values(3 * 9, bf16(1.0f));
  values[2] = bf16(-3.3e38f);
  values[9 + 8] = bf16(INFINITY);
  values[18] = bf16(NAN);
  std::vector<int32_t> flags(3);
  backend_->finite_rows(indices(flags), Tensor::of(values.data(), {3, 9}));
  EXPECT_EQ(flags, (std::vector<int32_t>{1, 0, 0}));
}

UHD_FOR_EVERY_BACKEND(RowOperations);

}  // namespace
}  // namespace uhd
