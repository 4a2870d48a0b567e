#include "tests/cuda/attention_case.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "kernels/cuda/check.h"
#include "tests/reference/ops.h"

namespace uhd::cuda {
namespace {

constexpr int64_t kGap = 8;  // elements between rows, which nothing may read or write

// A Twin is a tensor on the host and its copy on the device. Rows lie kGap elements apart, and the gaps hold
// NaN.
class Twin {
 public:
  Twin(cudaStream_t stream, DType dtype, Shape shape, int64_t gap, const std::function<float()>& value)
      : stream_(stream) {
    int64_t row = 1;
    for (int i = 1; i < shape.rank(); ++i) row *= shape[i];
    host_.assign(static_cast<size_t>(shape[0] * (row + gap)) * size_of(dtype) + 16, 0xff);
    const Tensor host(host_.data(), dtype, shape, row + gap);
    for (int64_t r = 0; r < shape[0]; ++r) {
      for (int64_t c = 0; c < row; ++c) {
        if (dtype == DType::bf16)
          host.row<bf16>(r)[c] = bf16(value());
        else
          host.row<float>(r)[c] = value();
      }
    }
    check_cuda(cudaMalloc(&device_, host_.size()), "allocating memory");
    check_cuda(cudaMemcpyAsync(device_, host_.data(), host_.size(), cudaMemcpyHostToDevice, stream_),
               "upload");
    on_host_ = host;
    on_device_ = Tensor(device_, dtype, shape, row + gap);
  }
  ~Twin() { cudaFree(device_); }
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;

  Tensor host() const { return on_host_; }
  Tensor device() const { return on_device_; }
  bool download() {
    return cudaMemcpyAsync(host_.data(), device_, host_.size(), cudaMemcpyDeviceToHost, stream_) ==
               cudaSuccess &&
           cudaStreamSynchronize(stream_) == cudaSuccess;
  }

 private:
  cudaStream_t stream_;
  std::vector<uint8_t> host_;
  void* device_ = nullptr;
  Tensor on_host_;
  Tensor on_device_;
};

class Indices {
 public:
  Indices(cudaStream_t stream, std::vector<int32_t> values, Shape shape) : values_(std::move(values)) {
    void* p = nullptr;
    check_cuda(cudaMalloc(&p, values_.size() * 4), "allocating memory");
    check_cuda(cudaMemcpyAsync(p, values_.data(), values_.size() * 4, cudaMemcpyHostToDevice, stream),
               "upload");
    tensor_ = Tensor(p, DType::i32, shape);
  }
  ~Indices() { cudaFree(tensor_.raw()); }
  Indices(const Indices&) = delete;
  Indices& operator=(const Indices&) = delete;
  operator Tensor() const { return tensor_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<int32_t> values_;
  Tensor tensor_;
};

class OwnStream {
 public:
  OwnStream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"); }
  ~OwnStream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor)

 private:
  cudaStream_t stream_ = nullptr;
};

std::vector<int32_t> offsets(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> at(lengths.size() + 1, 0);
  std::partial_sum(lengths.begin(), lengths.end(), at.begin() + 1);
  return at;
}

std::function<float()> noise(unsigned seed) {
  return [random = std::mt19937(seed), normal = std::normal_distribution<float>()]() mutable {
    return normal(random);
  };
}

float nan() { return std::numeric_limits<float>::quiet_NaN(); }

// Returns the error of one head of one row, and of the gap behind the row.
double row_error(Tensor out, int64_t row, int64_t head, const reference::Values& want) {
  double worst = 0;
  const auto d = static_cast<int64_t>(want.size());
  for (int64_t c = 0; c < d; ++c) {
    const double error =
        std::abs(reference::element(out, row, head * d + c) - want[c]) / (1 + std::abs(want[c]));
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  for (int64_t c = out.row_size(); c < out.row_stride(); ++c)
    if (!std::isnan(reference::element(out, row, c))) worst = INFINITY;
  return worst;
}

}  // namespace

double packed_error(const PackedCase& c, const PackedForm& form) {
  const OwnStream stream;
  const std::vector<int32_t> q_at = offsets(c.queries), kv_at = offsets(c.keys);
  const Shape q_shape{q_at.back(), c.heads, c.d}, kv_shape{kv_at.back(), c.heads, c.d};
  const Twin q(stream, c.dtype, q_shape, kGap, noise(1)), k(stream, c.dtype, kv_shape, 2 * kGap, noise(2)),
      v(stream, c.dtype, kv_shape, 0, noise(3));
  Twin out(stream, c.dtype, q_shape, kGap, nan);
  const auto segments = static_cast<int64_t>(c.queries.size());
  const Indices q_offsets(stream, q_at, {segments + 1}), kv_offsets(stream, kv_at, {segments + 1});
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.d));
  form(stream, out.device(), q.device(), k.device(), v.device(), q_offsets, kv_offsets,
       *std::max_element(c.queries.begin(), c.queries.end()), scale);
  if (!out.download()) return INFINITY;
  double worst = 0;
  for (int64_t s = 0; s < segments; ++s)
    for (int64_t row = q_at[s]; row < q_at[s + 1]; ++row)
      for (int64_t h = 0; h < c.heads; ++h)
        worst =
            std::max(worst, row_error(out.host(), row, h,
                                      reference::attention_row(q.host(), row, h, k.host(), v.host(), kv_at[s],
                                                               c.keys[s], h, scale, WeightFormat::f32)));
  return worst;
}

double paged_error(const PagedCase& c, const PagedForm& form) {
  const OwnStream stream;
  const auto sequences = static_cast<int64_t>(c.lengths.size());
  const std::vector<int32_t> q_at = offsets(c.queries), kv_at = offsets(c.lengths);
  const int32_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
  const int64_t table_pages = (longest + c.page - 1) / c.page, pages = table_pages * sequences + 1;
  // Pages are in another order than the sequences; the rest of each page is NaN.
  std::vector<int32_t> table(static_cast<size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(7));
  table.resize(static_cast<size_t>(table_pages * sequences));
  const Shape dense{kv_at.back(), c.kv_heads, c.d};
  const Twin k(stream, c.pages, dense, 0, noise(2)), v(stream, c.pages, dense, 0, noise(3));
  const auto paged = [&](const Twin& from) {
    const auto token_bytes = static_cast<size_t>(c.kv_heads * c.d) * size_of(c.pages);
    auto twin = std::make_unique<Twin>(stream, c.pages, Shape{pages, c.page, c.kv_heads, c.d}, 0, nan);
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t j = 0; j < c.lengths[s]; ++j) {
        const int64_t slot = table[s * table_pages + j / c.page] * c.page + j % c.page;
        check_cuda(cudaMemcpyAsync(static_cast<char*>(twin->device().raw()) + slot * token_bytes,
                                   static_cast<const char*>(from.host().raw()) + (kv_at[s] + j) * token_bytes,
                                   token_bytes, cudaMemcpyHostToDevice, stream),
                   "upload");
      }
    }
    return twin;
  };
  const auto k_pages = paged(k), v_pages = paged(v);
  const Shape q_shape{q_at.back(), c.heads, c.d};
  const Twin q(stream, c.dtype, q_shape, kGap, noise(1));
  Twin out(stream, c.dtype, q_shape, c.out_gap, nan);
  const Twin partials(stream, DType::f32, {64 * sequences * c.kv_heads, 16 * (c.d + 2)}, 0, nan);
  const Indices q_offsets(stream, q_at, {sequences + 1}), lengths(stream, c.lengths, {sequences}),
      page_table(stream, table, {sequences, table_pages});
  const PagedSpans spans{.q_offsets = q_offsets,
                         .kv_lengths = lengths,
                         .page_table = page_table,
                         .max_q = *std::max_element(c.queries.begin(), c.queries.end()),
                         .max_kv = longest};
  const float scale = 0.2f;
  form(stream, out.device(), q.device(), {k_pages->device(), v_pages->device()}, spans, scale,
       partials.device().data<float>());
  if (!out.download()) return INFINITY;
  double worst = 0;
  const WeightFormat format = c.pages == DType::f32 ? WeightFormat::f32 : WeightFormat::bf16;
  const int64_t group = c.heads / c.kv_heads;
  for (int64_t s = 0; s < sequences; ++s) {
    for (int32_t i = 0; i < c.queries[s]; ++i) {
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t keys = c.lengths[s] - c.queries[s] + i + 1;
        worst =
            std::max(worst, row_error(out.host(), q_at[s] + i, h,
                                      reference::attention_row(q.host(), q_at[s] + i, h, k.host(), v.host(),
                                                               kv_at[s], keys, h / group, scale, format)));
      }
    }
  }
  return worst;
}

double planned_error(PagedCase c, PlannedForm form) {
  c.out_gap = 0;
  return paged_error(
      c, [=](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans, float scale,
             float* plan) { form(stream, out, q, pages, spans, scale, true, plan); });
}

}  // namespace uhd::cuda
