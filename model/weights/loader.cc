#include "model/weights/loader.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "kernels/quantize.h"
#include "model/weights/packed_cache.h"

namespace uhd {
namespace {

double seconds_now() { return seconds(Clock::now().time_since_epoch()); }

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

void Loader::announce(const std::string& what, const std::string& prefix) {
  if (backend_.rehearses()) return;
  int64_t total = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors()) {
    if (name.starts_with(prefix)) total += static_cast<int64_t>(tensor.bytes());
  }
  if (shows_status()) status_.emplace();
  progress_.emplace(what, total, status_.has_value(), seconds_now());
}

void Loader::tell_read(const std::string& name) {
  if (!progress_) return;
  const auto line = progress_->add(static_cast<int64_t>(tensor(name).bytes()), seconds_now());
  if (!line || !log_enabled(LogLevel::info)) return;
  if (status_) return status_->show(*line);
  log_info(*line);
}

Tensor Loader::matrix_rows(const RowRange& range) const {
  const Tensor whole = tensor(range.name);
  check(
      whole.rank() >= 1 && range.first >= 0 && range.count >= 0 && range.first <= whole.rows() - range.count,
      "rows ", range.first, " + ", range.count, " of ", range.name);
  return whole.reshaped({whole.rows(), whole.row_size()}).slice_rows(range.first, range.count);
}

Weight Loader::rows(std::span<const RowRange> ranges, int64_t padded) {
  std::vector<Tensor> parts;
  int64_t total = 0;
  for (const RowRange& range : ranges) {
    parts.push_back(matrix_rows(range));
    check(parts.back().dim(1) == parts[0].dim(1), range.name, " has ", parts.back().dim(1), " columns, not ",
          parts[0].dim(1));
    total += range.count;
  }
  total = std::max(total, padded);
  Weight weight = kept(parts, {}, total, [&] { return pack_parts(parts, total); });
  for (const Tensor& part : parts) checkpoint_.drop(part);
  for (const RowRange& range : ranges) tell_read(range.name);
  return weight;
}

Weight Loader::kept(std::span<const Tensor> parts, Tensor whole, int64_t rows,
                    const std::function<Weight()>& pack) {
  if (checkpoint_.packed() == nullptr || backend_.rehearses()) return pack();
  return checkpoint_.packed()->weight(checkpoint_, parts, whole, rows, format_, backend_, pack);
}

Weight Loader::pack_parts(std::span<const Tensor> parts, int64_t total) {
  const Tensor& first = parts.front();
  const int64_t width = first.dim(1);
  if (parts.size() == 1 && total == first.rows()) return backend_.pack(first, format_);
  if (backend_.rehearses()) return backend_.pack(Tensor(first.raw(), first.dtype(), {total, width}), format_);
  if (backend_.packs_parts(format_)) return backend_.pack_parts(parts, format_, total);
  const bool same_type = std::all_of(parts.begin(), parts.end(),
                                     [&](const Tensor& part) { return part.dtype() == first.dtype(); });
  if (!same_type) {
    std::vector<float> staged;
    staged.reserve(static_cast<size_t>(total * width));
    for (const Tensor& part : parts) append(staged, part);
    staged.resize(static_cast<size_t>(total * width));
    return backend_.pack(Tensor::of(staged.data(), {total, width}), format_);
  }
  std::vector<std::byte> staged(static_cast<size_t>(total * width) *
                                size_of(first.dtype()));  // zero: padding
  size_t at = 0;
  for (const Tensor& part : parts) {
    if (part.bytes() > 0) std::memcpy(staged.data() + at, part.raw(), part.bytes());
    at += part.bytes();
  }
  return backend_.pack(Tensor(staged.data(), first.dtype(), {total, width}), format_);
}

Weight Loader::whole(const std::string& name) {
  const RowRange all{name, 0, tensor(name).rows()};
  return rows({&all, 1});
}

Weight Loader::columns(const std::string& name, int64_t first, int64_t count) {
  const Tensor& whole = tensor(name);
  if (count == whole.dim(1)) return this->whole(name);
  require(format_ != WeightFormat::int4 || (first % kGroup == 0 && count % kGroup == 0), name, ": ", count,
          " of its ", whole.dim(1), " inputs on a rank are not whole groups of ", kGroup,
          " for int4: fewer ranks, or fp8 or int8");
  const Tensor part = whole.slice_columns(first, count);
  Weight weight = kept({&part, 1}, whole, part.rows(), [&] { return backend_.pack(part, format_, whole); });
  checkpoint_.drop(whole);
  tell_read(name);
  return weight;
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
  if (backend_.host_memory()) {
    if (auto file = checkpoint_.hold(host)) {
      tell_read(range.name);
      return {DeviceBuffer(std::move(file), host.raw(), host.bytes()), host};
    }
  }
  DeviceTensor result{backend_.allocate(std::max<size_t>(host.bytes(), 1)), {}};
  result.view = result.memory.as(host.dtype(), host.shape());
  if (host.rows() > 0) backend_.upload(result.view, host);
  checkpoint_.drop(host);
  tell_read(range.name);
  return result;
}

DeviceTensor Loader::upload(const std::vector<float>& values, Shape shape) {
  DeviceTensor result{backend_.allocate(std::max<size_t>(values.size() * sizeof(float), 1)), {}};
  result.view = result.memory.as(DType::f32, shape);
  if (!values.empty()) backend_.upload(result.view, Tensor::of(values.data(), shape));
  return result;
}

}  // namespace uhd
