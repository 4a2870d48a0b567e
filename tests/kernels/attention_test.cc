#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/kernels/support.h"

namespace uhd {
namespace {

constexpr double kTolerance[] = {2e-5,
                                 1.2e-2};  // for f32 and for bf16, whose probabilities are rounded as well

class Attention : public OperationTest {
 protected:
  // Segment s has queries[s] rows and keys[s] keys. `precise` means that the sums that the host would form in
  // bf16 must be as near as f32.
  void compare_packed(const std::vector<int32_t>& queries, const std::vector<int32_t>& keys, int64_t heads,
                      int64_t d, WeightFormat format, bool precise = false) {
    SCOPED_TRACE(testing::Message() << heads << " heads of " << d
                                    << (format == WeightFormat::f32 ? " f32" : " bf16"));
    const std::vector<int32_t> q_at = offsets(queries);
    const std::vector<int32_t> kv_at = offsets(keys);
    // Rows at multiples of 16 bytes, which a device may load at once, and rows that are not.
    const bool wide = d == 64 || d == 72;
    const Rows q({q_at.back(), heads, d}, wide ? 16 : 11);
    const Rows k({kv_at.back(), heads, d}, wide ? 8 : 5);
    const Rows v({kv_at.back(), heads, d}, wide ? 24 : 3);
    Rows out({q_at.back(), heads, d}, wide ? 8 : 7);
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    make(format)->packed_attention(out, q, k, v, indices(q_at), indices(kv_at),
                                   *std::max_element(queries.begin(), queries.end()),
                                   *std::max_element(keys.begin(), keys.end()), scale, precise);
    if (precise && backend_->host_memory()) format = WeightFormat::f32;
    reference::Values want;
    for (size_t s = 0; s < queries.size(); ++s)
      for (int32_t row = q_at[s]; row < q_at[s + 1]; ++row)
        for (int64_t h = 0; h < heads; ++h)
          append(want, reference::attention_row(q, row, h, k, v, kv_at[s], keys[s], h, scale, format));
    expect_close(out, want, kTolerance[static_cast<int>(format)]);
    EXPECT_TRUE(out.untouched());
  }

  static std::vector<int32_t> offsets(const std::vector<int32_t>& lengths) {
    std::vector<int32_t> at(lengths.size() + 1, 0);
    std::partial_sum(lengths.begin(), lengths.end(), at.begin() + 1);
    return at;
  }
  static void append(reference::Values& to, const reference::Values& from) {
    to.insert(to.end(), from.begin(), from.end());
  }
};

// The sequences' tokens lie on shuffled pages of one cache, with the same keys and values kept dense.
class Sequences {
 public:
  Sequences(Backend& backend, const std::vector<int32_t>& lengths, int64_t page, int64_t kv_heads, int64_t d,
            DType dtype)
      : backend_(backend), lengths_(lengths), page_(page) {
    int64_t tokens = 0;
    for (int32_t n : lengths) {
      first_.push_back(tokens);
      tokens += n;
      max_pages_ = std::max(max_pages_, (n + page - 1) / page);
    }
    const int64_t pages = max_pages_ * static_cast<int64_t>(lengths.size()) + 1;
    k_ = std::make_unique<Rows>(Shape{tokens, kv_heads, d}, 3);
    v_ = std::make_unique<Rows>(Shape{tokens, kv_heads, d}, 1);
    const Shape shape{pages, page, kv_heads, d};
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
    memory_ = backend.allocate(2 * bytes);
    const Tensor all = memory_.as(dtype, {2 * pages, page, kv_heads, d});
    std::vector<std::byte> nan(2 * bytes, std::byte{0xff});  // the old contents of a page must not matter
    backend.upload(all, Tensor(nan.data(), dtype, all.shape()));
    // On the host some are spaced, as in the cache there: keys and values of a page lie side by side.
    const bool spaced = backend.host_memory() && page % 2 == 0;
    const int64_t stride = all.row_stride() * (spaced ? 2 : 1);
    layer_ = {Tensor(all.raw(), dtype, shape, stride),
              Tensor(all.slice_rows(spaced ? 1 : pages, 1).raw(), dtype, shape, stride)};
    std::vector<int32_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    table_.assign(order.begin(), order.begin() + max_pages_ * static_cast<int64_t>(lengths.size()));
    for (size_t s = 0; s < lengths.size(); ++s)
      for (int64_t j = 0; j < lengths[s]; ++j)
        slots_.push_back(static_cast<int32_t>(table_[s * max_pages_ + j / page] * page + j % page));
    backend.store_kv(layer_, *k_, *v_, indices(slots_));
  }

  // The last counts[s] tokens of each sequence ask.
  void attend(Tensor out, Tensor q, const std::vector<int32_t>& q_offsets, float scale) {
    const PagedSpans spans{
        .q_offsets = indices(q_offsets),
        .kv_lengths = indices(lengths_),
        .page_table = Tensor::of(table_.data(), {static_cast<int64_t>(lengths_.size()), max_pages_}),
        .max_q = largest_step(q_offsets),
        .max_kv = *std::max_element(lengths_.begin(), lengths_.end())};
    backend_.paged_attention(out, q, layer_, spans, scale);
  }

  reference::Values want(Tensor q, const std::vector<int32_t>& q_offsets, float scale) const {
    reference::Values all;
    const int64_t group = q.dim(1) / k_->tensor().dim(1);
    const WeightFormat format = layer_.k.dtype() == DType::f32 ? WeightFormat::f32 : WeightFormat::bf16;
    for (size_t s = 0; s < lengths_.size(); ++s) {
      const int32_t count = q_offsets[s + 1] - q_offsets[s];
      for (int32_t row = 0; row < count; ++row) {
        for (int64_t h = 0; h < q.dim(1); ++h) {
          const reference::Values one =
              reference::attention_row(q, q_offsets[s] + row, h, *k_, *v_, first_[s],
                                       lengths_[s] - count + row + 1, h / group, scale, format);
          all.insert(all.end(), one.begin(), one.end());
        }
      }
    }
    return all;
  }

  KvLayer layer() const { return layer_; }

  static int largest_step(const std::vector<int32_t>& offsets) {
    int largest = 0;
    for (size_t s = 1; s < offsets.size(); ++s) largest = std::max(largest, offsets[s] - offsets[s - 1]);
    return largest;
  }

 private:
  Backend& backend_;
  std::vector<int32_t> lengths_;
  int64_t page_;
  int64_t max_pages_ = 1;
  std::vector<int64_t> first_;
  std::unique_ptr<Rows> k_;
  std::unique_ptr<Rows> v_;
  DeviceBuffer memory_;
  KvLayer layer_;
  std::vector<int32_t> table_;
  std::vector<int32_t> slots_;
};

TEST_P(Attention, PackedEqualsTheReferenceOverRaggedSegments) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    for (const int64_t d : {32, 64, 72, 128, 7, 1}) {
      compare_packed({5, 1, 0, 17}, {9, 1, 4, 33}, 3, d, format);
    }
    compare_packed({25, 50}, {255, 257}, 1, 64, format);
    compare_packed({3}, {600}, 2, 72, format);
  }
}

TEST_P(Attention, PackedIsPreciseWhereAskedTo) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    compare_packed({5, 1, 0, 17}, {9, 1, 4, 33}, 3, 36, format, true);
    compare_packed({64}, {576}, 2, 64, format, true);
  }
}

TEST_P(Attention, PackedSegmentWithoutKeysIsZero) {
  const std::vector<int32_t> q_at = {0, 2, 3};
  const std::vector<int32_t> kv_at = {0, 0, 4};
  const Rows q({3, 2, 16});
  const Rows k({4, 2, 16});
  Rows out({3, 2, 16});
  backend_->packed_attention(out, q, k, k, indices(q_at), indices(kv_at), 2, 4, 0.25f);
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(out.at(i / 32, i % 32), 0.0f);
  EXPECT_NE(out.at(2, 0), 0.0f);
}

TEST_P(Attention, PagedEqualsTheReference) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t page : {1, 7, 16, 48, 64, 300}) {
      for (const auto& [heads, kv_heads, d] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
               {4, 4, 64}, {8, 2, 32}, {7, 1, 128}, {3, 1, 20}}) {
        SCOPED_TRACE(testing::Message() << name_of(dtype) << " page " << page << " heads " << heads << "/"
                                        << kv_heads << " of " << d);
        // Decode, whole prompts, a chunk in the middle of one, and one token more than a softmax block.
        Sequences sequences(*backend_, {1, 33, 70, 257, 64}, page, kv_heads, d, dtype);
        const std::vector<int32_t> q_offsets = {0, 1, 2, 32, 33, 97};
        const Rows q({97, heads, d}, d == 20 ? 9 : 8);
        Rows out({97, heads, d}, d == 20 ? 2 : d == 128 ? 0 : 16);
        const float scale = 0.2f;
        sequences.attend(out, q, q_offsets, scale);
        expect_close(out, sequences.want(q, q_offsets, scale), kTolerance[dtype == DType::f32 ? 0 : 1]);
        EXPECT_TRUE(out.untouched());
      }
    }
  }
}

using AttentionBits = Attention;

// A vision tower lets it. The queries lie apart there, as in [T, 3 W].
TEST_P(AttentionBits, PackedMayWriteWhereTheQueriesLie) {
  const std::vector<int32_t> at = {0, 40, 41, 300};
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    const Rows k({300, 2, 64}), v({300, 2, 64});
    Rows both({300, 2, 64}, 16), apart({300, 2, 64}, 16);
    const std::unique_ptr<Backend> backend = make(format);
    const auto attend_to = [&](Tensor out) {
      backend->packed_attention(out, both, k, v, indices(at), indices(at), 259, 259, 0.125f);
    };
    attend_to(apart);
    attend_to(both);
    EXPECT_EQ(both.values(), apart.values());
    EXPECT_TRUE(both.untouched());
  }
}

// The host packs so many keys for some heads at a time, and the last time for fewer.
TEST_P(AttentionBits, PackedHeadIsTheSameBitsAloneAndBesideOthers) {
  constexpr int64_t kHeads = 7, kKeys = 1100, kQueries = 70;
  const std::vector<int32_t> q_at = {0, kQueries}, kv_at = {0, kKeys};
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16}) {
    const Rows q({kQueries, kHeads, 64}), k({kKeys, kHeads, 64}), v({kKeys, kHeads, 64});
    Rows all({kQueries, kHeads, 64}), apart({kQueries, kHeads, 64});
    const std::unique_ptr<Backend> backend = make(format);
    const auto attend = [&](const Rows& out, int64_t first, int64_t heads) {
      const auto of = [&](const Rows& x) {
        const Tensor flat = x.tensor().reshaped({x.tensor().rows(), kHeads * 64});
        return flat.slice_columns(first * 64, heads * 64).reshaped({flat.rows(), heads, 64});
      };
      backend->packed_attention(of(out), of(q), of(k), of(v), indices(q_at), indices(kv_at), kQueries, kKeys,
                                0.125f);
    };
    attend(all, 0, kHeads);
    for (int64_t h = 0; h < kHeads; ++h) attend(apart, h, 1);
    EXPECT_EQ(all.values(), apart.values());
  }
}

TEST_P(AttentionBits, PagedRowIsTheSameBitsAloneAndInAChunk) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t kLength = 300;
    Sequences whole(*backend_, {kLength, 41}, 64, 2, 64, dtype);
    const Rows q({kLength + 41, 4, 64});
    Rows out({kLength + 41, 4, 64});
    whole.attend(out, q, {0, kLength, kLength + 41}, 0.125f);
    for (const int32_t count : {1, 2, 37}) {
      Rows part({count + 1, 4, 64});
      Rows some({count + 1, 4, 64});
      std::memcpy(some.tensor().raw(), q.tensor().slice_rows(kLength - count, count).raw(), count * 1024);
      std::memcpy(some.tensor().slice_rows(count, 1).raw(), q.tensor().slice_rows(kLength + 40, 1).raw(),
                  1024);
      whole.attend(part, some, {0, count, count + 1}, 0.125f);
      EXPECT_EQ(std::memcmp(part.tensor().raw(), out.tensor().slice_rows(kLength - count, count).raw(),
                            count * 1024),
                0);
      EXPECT_EQ(std::memcmp(part.tensor().slice_rows(count, 1).raw(),
                            out.tensor().slice_rows(kLength + 40, 1).raw(), 1024),
                0);
    }
  }
}

// Long enough for several spans of keys, which threads share where tasks are few: one key head, one sequence.
TEST_P(AttentionBits, ALongRowIsTheSameBitsOnOneThreadOnSeveralAndInAChunk) {
  for (const auto& [page, dtype] :
       {std::pair<int64_t, DType>{64, DType::bf16}, {48, DType::bf16}, {64, DType::f32}, {10, DType::f32}}) {
    const int32_t kLength = 4301, kOther = 2049;
    Sequences whole(*backend_, {kLength, kOther}, page, 1, 32, dtype);
    const Rows q({40 + 1, 4, 32});
    Rows chunk({40 + 1, 4, 32});
    whole.attend(chunk, q, {0, 40, 41}, 0.2f);
    Rows one({1, 4, 32}), last({1, 4, 32});
    std::memcpy(last.tensor().raw(), q.tensor().slice_rows(39, 1).raw(), 512);
    whole.attend(one, last, {0, 1, 1}, 0.2f);
    EXPECT_EQ(std::memcmp(one.tensor().raw(), chunk.tensor().slice_rows(39, 1).raw(), 512), 0);
  }
}

TEST_P(Attention, LongSequencesEqualTheReference) {
  for (const auto& [page, dtype] :
       {std::pair<int64_t, DType>{64, DType::bf16}, {64, DType::f32}, {10, DType::f32}}) {
    const bool exact = dtype == DType::f32 && backend_->activation_dtype() == DType::f32;
    for (const int32_t length : {2047, 2048, 2049, 4100, 6150}) {
      Sequences sequences(*backend_, {length}, page, 1, 32, dtype);
      const Rows q({2, 3, 32});
      Rows out({2, 3, 32});
      for (const int32_t rows : {1, 2}) {
        const Tensor some = q.tensor().slice_rows(0, rows);
        sequences.attend(out.tensor().slice_rows(0, rows), some, {0, rows}, 0.2f);
        const reference::Values want = sequences.want(some, {0, rows}, 0.2f);
        for (size_t i = 0; i < want.size(); ++i) {
          const auto got = out.at(static_cast<int64_t>(i) / 96, static_cast<int64_t>(i) % 96);
          ASSERT_NEAR(got, want[i], exact ? 2e-5 : 1.2e-2) << length << " at " << i;
        }
      }
    }
  }
}

TEST_P(Attention, CopiesWholePages) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Sequences sequences(*backend_, {48}, 16, 2, 32, dtype);
    const KvLayer layer = sequences.layer();
    const size_t bytes = static_cast<size_t>(layer.k.row_size()) * size_of(dtype);
    const auto page = [&](Tensor t, int64_t i) {
      std::string copy(bytes, '\0');
      backend_->download(Tensor(copy.data(), dtype, t.slice_rows(i, 1).shape()), t.slice_rows(i, 1));
      return copy;
    };
    const std::string k0 = page(layer.k, 0), v0 = page(layer.v, 0), k2 = page(layer.k, 2);
    const std::string v1 = page(layer.v, 1);
    backend_->copy_pages(layer, indices({0, 2}), indices({3, 2}));
    EXPECT_EQ(page(layer.k, 3), k0);
    EXPECT_EQ(page(layer.v, 3), v0);
    EXPECT_EQ(page(layer.k, 0), k0);
    EXPECT_EQ(page(layer.k, 2), k2);
    EXPECT_EQ(page(layer.v, 1), v1);
    if (GetParam().recovers) {
      EXPECT_THROW(backend_->copy_pages(layer, indices({0}), indices({4})), Error);
    }
  }
}

UHD_FOR_EVERY_BACKEND(Attention);
UHD_FOR_BACKENDS_OF_EQUAL_BITS(AttentionBits);

}  // namespace
}  // namespace uhd
