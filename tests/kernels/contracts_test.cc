// Tests that a caller's fault is an Error, the same one from every backend.
#include "kernels/contracts.h"

#include <gmock/gmock.h>

#include "tests/kernels/support.h"

namespace uhd {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Contracts, NameTheOperationAndTheShape) {
  const auto backend = make_backend({});
  const Rows x({3, 8});
  const Rows w({5, 8});
  Rows out({3, 6});
  const Weight weight = backend->pack(w, WeightFormat::f32);
  EXPECT_THAT([&] { backend->matmul(out, x, weight); },
              ThrowsMessage<Error>(
                  HasSubstr("matmul: out has as many columns as the weight has outputs, not f32 [3,6]")));
}

TEST(Contracts, RefuseWrongShapes) {
  const auto backend = make_backend({});
  const Rows a({3, 8});
  const Rows b({3, 6});
  const Rows w8({8});
  Rows out({3, 8});
  Rows heads({3, 2, 8});
  Rows odd({3, 2, 7});
  const std::vector<int32_t> two = {0, 1};
  const std::vector<int32_t> three = {0, 1, 2};
  EXPECT_THROW(backend->rms_norm(out, b, w8, 1e-6f), Error);
  EXPECT_THROW(backend->rms_norm(b, b, w8, 1e-6f), Error);
  EXPECT_THROW(backend->add_rms_norm(out, b, w8, out, 1e-6f), Error);
  EXPECT_THROW(backend->layer_norm(out, a, w8, Rows({7}), 1e-6f), Error);
  EXPECT_THROW(backend->silu_mul(out, a), Error);
  EXPECT_THROW(backend->add(out, a, b), Error);
  EXPECT_THROW(backend->add(out, a, Rows({2, 8})), Error);
  EXPECT_THROW(backend->gather_rows(out, a, indices(two)), Error);
  EXPECT_THROW(backend->scatter_rows(out, a, indices(two)), Error);
  EXPECT_THROW(backend->add_rows(out, a, indices(two)), Error);
  EXPECT_THROW(backend->embed(out, b, indices(three), 0), Error);
  EXPECT_THROW(backend->embed(out, a, indices(three), -1), Error);
  EXPECT_THROW(backend->head_norm(a, a, w8, w8, 1e-6f), Error);
  EXPECT_THROW(backend->head_norm(heads, odd, w8, w8, 1e-6f), Error);
  EXPECT_THROW(backend->head_norm(heads, heads, w8, Rows({7}), 1e-6f), Error);
  EXPECT_THROW(backend->head_norm(heads, Rows({2, 2, 8}), w8, w8, 1e-6f), Error);
  EXPECT_THROW(backend->rope(odd, odd, indices(three), Rows({4, 2, 3})), Error);
  EXPECT_THROW(backend->rope(heads, heads, indices(three), Rows({4, 2, 3})), Error);
  EXPECT_THROW(backend->rope(heads, heads, indices({0, 1, 4}), Rows({4, 2, 4})), Error);
  EXPECT_THROW(backend->cast(out, b), Error);
  EXPECT_NO_THROW(backend->mask_logits(out, indices(two), indices(two).reshaped({2, 1}), 0));
  EXPECT_THROW(backend->mask_logits(out, indices(two), indices(three).reshaped({3, 1}), 0), Error);
  EXPECT_THROW(backend->mask_logits(out, indices(two), indices(two), 0), Error);
  EXPECT_THROW(backend->mask_logits(out, indices(two), indices(two).reshaped({2, 1}), -1), Error);
  const std::vector<int32_t> draws(2 * kDrawWords);
  const Tensor how = indices(draws).reshaped({2, kDrawWords});
  EXPECT_NO_THROW(backend->draw(indices(two), Rows({3, 2, 4}), 12, how));
  EXPECT_THROW(backend->draw(indices(two), Rows({3, 2, 4}), 13, how), Error);
  EXPECT_THROW(backend->draw(indices(two), Rows({3, 3, 4}), 12, how), Error);
  EXPECT_THROW(backend->draw(indices(two), Rows({2, 4}), 4, how), Error);
  EXPECT_THROW(backend->argmax(indices(two), Rows({3}), a), Error);
  EXPECT_THROW(backend->upload(out, b), Error);
  EXPECT_THROW(backend->download(Tensor(out.tensor().slice_columns(0, 6)), b), Error);
  EXPECT_THROW(backend->pack(heads, WeightFormat::f32), Error);
  EXPECT_THROW(backend->pack(indices(three), WeightFormat::f32), Error);
  EXPECT_THROW(backend->matmul(out, a, Weight{}), Error);
}

TEST(Contracts, RefuseMissingMemoryAndOverlappingRows) {
  const auto backend = make_backend({});
  const Rows a({3, 8});
  const Rows w({8});
  EXPECT_THROW(backend->rms_norm(Tensor(nullptr, DType::f32, {3, 8}), a, w, 1e-6f), Error);
  EXPECT_THROW(backend->rms_norm(Tensor(a.tensor().raw(), DType::f32, {3, 8}, 4), a, w, 1e-6f), Error);
}

TEST(Contracts, RefuseAttentionThatWouldReadElsewhere) {
  const auto backend = make_backend({});
  const Rows q({4, 2, 8});
  Rows out({4, 2, 8});
  const auto packed = [&](std::vector<int32_t> q_at, std::vector<int32_t> kv_at) {
    backend->packed_attention(out, q, q, q, indices(q_at), indices(kv_at), 4, 4, 1.0f);
  };
  EXPECT_NO_THROW(packed({0, 4}, {0, 4}));
  EXPECT_THROW(packed({0, 5}, {0, 4}), Error);
  EXPECT_THROW(packed({0, 4}, {0, 5}), Error);
  EXPECT_THROW(packed({0, 3, 2}, {0, 1, 2}), Error);
  EXPECT_THROW(packed({-1, 4}, {0, 4}), Error);
  EXPECT_THROW(packed({0, 4}, {0, 1, 4}), Error);

  Rows k({2, 16, 1, 8});
  const KvLayer layer{k, k};
  const auto paged = [&](std::vector<int32_t> q_at, std::vector<int32_t> lengths,
                         std::vector<int32_t> pages) {
    const int64_t s = static_cast<int64_t>(lengths.size());
    backend->paged_attention(
        out, q, layer,
        {.q_offsets = indices(q_at),
         .kv_lengths = indices(lengths),
         .page_table = Tensor::of(pages.data(), {s, static_cast<int64_t>(pages.size()) / s}),
         .max_q = 4,
         .max_kv = 4},
        1.0f);
  };
  EXPECT_NO_THROW(paged({0, 4}, {20}, {1, 0}));
  EXPECT_THROW(paged({0, 4}, {3}, {1, 0}), Error);
  EXPECT_THROW(paged({0, 4}, {33}, {1, 0}), Error);
  EXPECT_THROW(paged({0, 4}, {20}, {1, 2}), Error);
  EXPECT_THROW(paged({0, 4}, {20}, {-1, 0}), Error);
  EXPECT_THROW(paged({0, 5}, {20}, {1, 0}), Error);
  EXPECT_THROW(backend->store_kv(layer, Rows({1, 1, 8}), Rows({1, 1, 8}), indices({32})), Error);
  EXPECT_THROW(backend->store_kv(layer, Rows({1, 1, 8}), Rows({1, 1, 8}), indices({-1})), Error);
  EXPECT_THROW(backend->store_kv(layer, Rows({1, 2, 8}), Rows({1, 2, 8}), indices({0})), Error);
}

TEST(Contracts, RefusePicturesThatDoNotFit) {
  const auto backend = make_backend({});
  std::vector<uint8_t> pixels(14 * 14 * 3);
  const Tensor buffer = Tensor::of(pixels.data(), {588});
  Rows out({1, 588});
  const auto patchify = [&](PixelSlice slice) {
    backend->patchify(out, buffer, std::vector<PixelSlice>{slice}, 14, {{0, 0, 0}, {1, 1, 1}});
  };
  EXPECT_NO_THROW(patchify({0, 14, 14}));
  EXPECT_THROW(patchify({1, 14, 14}), Error);
  EXPECT_THROW(patchify({-1, 14, 14}), Error);
  EXPECT_THROW(patchify({0, 13, 14}), Error);
  EXPECT_THROW(patchify({0, 1 << 30, 1 << 30}), Error);
  const Rows table({5, 4});
  EXPECT_THROW(backend->interpolate_positions(Rows({4, 4}), table, 2, 2), Error);
  EXPECT_THROW(backend->region_align(Rows({4, 4}), table,
                                     std::vector<AlignGrid>{{.rows = 2,
                                                             .columns = 3,
                                                             .window_rows = 1,
                                                             .window_columns = 1,
                                                             .bin_rows = 2,
                                                             .bin_columns = 2}}),
               Error);
}

TEST(MakeBackend, SaysWhatIsMissing) {
  EXPECT_THAT([] { make_backend({.kind = "cuda", .device = 1000}); },
              ThrowsMessage<Error>(HasSubstr("backend.kind=cuda: ")));
  EXPECT_THAT([] { make_backend({.kind = "gpu"}); },
              ThrowsMessage<Error>(HasSubstr("backend.kind is 'gpu'")));
  EXPECT_THAT([] { make_backend({.isa = "avx1024"}); }, ThrowsMessage<Error>(HasSubstr("'avx1024'")));
  EXPECT_THROW(make_backend({.threads = -1}), Error);
  const auto automatic = make_backend({.kind = "auto", .threads = 1, .isa = "scalar"});
  EXPECT_THAT(automatic->description(),
              testing::AnyOf("cpu scalar, 1 thread", testing::StartsWith("cuda 0")));
}

TEST(Memory, IsZeroAndAligned) {
  const auto backend = make_backend({.threads = 1});
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{3} << 20}) {
    const DeviceBuffer buffer = backend->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    for (size_t i = 0; i < bytes; i += 997) EXPECT_EQ(static_cast<const char*>(buffer.data())[i], 0);
  }
}

}  // namespace
}  // namespace uhd
