#include "model/weights/loader.h"

#include <algorithm>
#include <cstring>

#include "kernels/quantize.h"

namespace uhd {
namespace {

// memcpy, because the elements of a mapped file need not be aligned.
template <class T>
void append_floats(std::vector<float>& out, Tensor host) {
  const size_t row_size = static_cast<size_t>(host.row_size());
  const char* data = static_cast<const char*>(host.raw());
  for (int64_t r = 0; r < host.rows(); ++r) {
    const char* row = data + r * host.row_stride() * static_cast<int64_t>(sizeof(T));
    for (size_t i = 0; i < row_size; ++i) {
      T value;
      std::memcpy(&value, row + i * sizeof(T), sizeof(T));
      out.push_back(static_cast<float>(value));
    }
  }
}

void append(std::vector<float>& out, Tensor host) {
  switch (host.dtype()) {
    case DType::f32:
      return append_floats<float>(out, host);
    case DType::bf16:
      return append_floats<bf16>(out, host);
    case DType::f16:
      return append_floats<f16>(out, host);
    default:
      throw Error(message("a weight of type ", name_of(host.dtype()), " cannot be read"));
  }
}

}  // namespace

std::vector<float> floats_of(Tensor host) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(host.elements()));
  append(values, host);
  return values;
}

const Tensor& Loader::tensor(const std::string& name) const {
  const Tensor* found = checkpoint_.find(name);
  require(found != nullptr, checkpoint_.directory().string(), ": tensor ", name, " is missing");
  return *found;
}

Tensor Loader::matrix_rows(const RowRange& range) const {
  const Tensor whole = tensor(range.name);
  check(
      whole.rank() >= 1 && range.first >= 0 && range.count >= 0 && range.first <= whole.rows() - range.count,
      "rows ", range.first, " + ", range.count, " of ", range.name);
  return whole.reshaped({whole.rows(), whole.row_size()}).slice_rows(range.first, range.count);
}

Weight Loader::rows(std::span<const RowRange> ranges, int64_t padded) {
  if (ranges.size() == 1 && padded <= ranges[0].count) return backend_.pack(matrix_rows(ranges[0]), format_);
  int64_t total = 0;
  const Tensor first = matrix_rows(ranges[0]);
  bool same_type = true;
  for (const RowRange& range : ranges) {
    const Tensor part = matrix_rows(range);
    check(part.dim(1) == first.dim(1), range.name, " has ", part.dim(1), " columns, not ", first.dim(1));
    same_type = same_type && part.dtype() == first.dtype();
    total += range.count;
  }
  total = std::max(total, padded);
  if (backend_.rehearses())
    return backend_.pack(Tensor(first.raw(), first.dtype(), {total, first.dim(1)}), format_);
  if (!same_type) {
    std::vector<float> staged;
    staged.reserve(static_cast<size_t>(total * first.dim(1)));
    for (const RowRange& range : ranges) append(staged, matrix_rows(range));
    staged.resize(static_cast<size_t>(total * first.dim(1)));
    return backend_.pack(Tensor::of(staged.data(), {total, first.dim(1)}), format_);
  }
  const size_t row_bytes = static_cast<size_t>(first.dim(1)) * size_of(first.dtype());
  std::vector<std::byte> staged(static_cast<size_t>(total) * row_bytes);  // zero: the padding rows
  size_t at = 0;
  for (const RowRange& range : ranges) {
    const Tensor part = matrix_rows(range);
    const size_t bytes = static_cast<size_t>(range.count) * row_bytes;
    if (bytes > 0) std::memcpy(staged.data() + at, part.raw(), bytes);
    at += bytes;
  }
  return backend_.pack(Tensor(staged.data(), first.dtype(), {total, first.dim(1)}), format_);
}

Weight Loader::whole(const std::string& name) {
  const RowRange all{name, 0, tensor(name).rows()};
  return rows({&all, 1});
}

Weight Loader::columns(const std::string& name, int64_t first, int64_t count) {
  const Tensor& whole = tensor(name);
  if (count == whole.dim(1)) return backend_.pack(whole, format_);
  require(format_ != WeightFormat::int4 || (first % kGroup == 0 && count % kGroup == 0), name, ": ", count,
          " of its ", whole.dim(1), " inputs on a rank are not whole groups of ", kGroup,
          " for int4: fewer ranks, or fp8 or int8");
  return backend_.pack(whole.slice_columns(first, count), format_, whole);
}

Weight Loader::transposed(const std::string& name) {
  const Tensor& stored = tensor(name);
  const int64_t inputs = stored.dim(0), outputs = stored.dim(1);
  if (backend_.rehearses())
    return backend_.pack(Tensor(stored.raw(), stored.dtype(), {outputs, inputs}), format_);
  const std::vector<float> values = floats_of(stored);
  std::vector<float> turned(values.size());
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t o = 0; o < outputs; ++o) turned[o * inputs + i] = values[i * outputs + o];
  }
  return backend_.pack(Tensor::of(turned.data(), {outputs, inputs}), format_);
}

DeviceTensor Loader::vector(std::span<const RowRange> ranges) {
  std::vector<float> values;
  int64_t all = 0;
  for (const RowRange& range : ranges) all += matrix_rows(range).elements();
  if (backend_.rehearses()) return blank(DType::f32, {all});
  values.reserve(static_cast<size_t>(all));
  for (const RowRange& range : ranges) append(values, matrix_rows(range));
  const auto size = static_cast<int64_t>(values.size());
  return upload(values, {size});
}

DeviceTensor Loader::vector(const std::string& name) {
  const RowRange all{name, 0, tensor(name).rows()};
  return vector({&all, 1});
}

DeviceTensor Loader::matrix(const std::string& name) {
  return matrix(RowRange{name, 0, tensor(name).rows()});
}

DeviceTensor Loader::matrix(const RowRange& range) {
  const Tensor host = matrix_rows(range);
  if (backend_.rehearses()) return blank(backend_.activation_dtype(), host.shape());
  return activations(floats_of(host), host.shape());
}

// A rehearsal counts this memory, and nobody reads its values.
DeviceTensor Loader::blank(DType dtype, Shape shape) {
  DeviceTensor result{
      backend_.allocate(std::max<size_t>(static_cast<size_t>(shape.elements()) * size_of(dtype), 1)), {}};
  result.view = result.memory.as(dtype, shape);
  return result;
}

DeviceTensor Loader::activations(const std::vector<float>& values, Shape shape) {
  if (backend_.activation_dtype() == DType::f32) return upload(values, shape);
  std::vector<bf16> halves;
  halves.reserve(values.size());
  for (const float v : values) halves.push_back(bf16(v));
  DeviceTensor result{backend_.allocate(std::max<size_t>(halves.size() * sizeof(bf16), 1)), {}};
  result.view = result.memory.as(DType::bf16, shape);
  if (!halves.empty()) backend_.upload(result.view, Tensor::of(halves.data(), shape));
  return result;
}

DeviceTensor Loader::table(const RowRange& range) {
  const Tensor host = matrix_rows(range);
  DeviceTensor result{backend_.allocate(std::max<size_t>(host.bytes(), 1)), {}};
  result.view = result.memory.as(host.dtype(), host.shape());
  if (host.rows() > 0) backend_.upload(result.view, host);
  return result;
}

DeviceTensor Loader::upload(const std::vector<float>& values, Shape shape) {
  DeviceTensor result{backend_.allocate(std::max<size_t>(values.size() * sizeof(float), 1)), {}};
  result.view = result.memory.as(DType::f32, shape);
  if (!values.empty()) backend_.upload(result.view, Tensor::of(values.data(), shape));
  return result;
}

}  // namespace uhd
