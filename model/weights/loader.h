// Makes weights of one rank on one backend from the tensors of a checkpoint. It touches only the rows and
// columns that the rank holds: the rest of a mapped file stays on disk. The pages of a tensor leave the
// memory of this process once it is packed (Checkpoint::drop).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "kernels/backend.h"
#include "model/weights/checkpoint.h"
#include "model/weights/load_progress.h"

namespace uhd {

// A DeviceTensor is a dense tensor on the device together with its memory.
struct DeviceTensor {
  DeviceBuffer memory;
  Tensor view;
};

// A RowRange names rows [first, first + count) of a named tensor.
struct RowRange {
  std::string name;
  int64_t first = 0;
  int64_t count = 0;
};

// A Loader borrows its references; names are those of the checkpoint. A missing name or a range outside the
// tensor is an Error. require_complete has checked the full shapes before.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Backend& backend, WeightFormat format)
      : checkpoint_(checkpoint), backend_(backend), format_(format) {}

  // Returns a loader of the same tensors that packs in another format, and announces nothing.
  Loader in(WeightFormat format) const { return {checkpoint_, backend_, format}; }

  // Begins to tell how far the loading of `what` is, whose tensors' names begin so (load_progress.h). A
  // shard of a tensor counts as the tensor.
  void announce(const std::string& what, const std::string& prefix);

  // Loads ranges one under another as one weight, with zero rows below up to `padded` rows. Tensors of more
  // than two dimensions count as matrices of their rows.
  Weight rows(std::span<const RowRange> ranges, int64_t padded = 0);
  Weight whole(const std::string& name);
  // Loads columns [first, first + count) of a matrix, quantized as the whole would be. In int4, columns that
  // would cut a group are an Error.
  Weight columns(const std::string& name, int64_t first, int64_t count);
  // Loads a matrix stored as [inputs, outputs].
  Weight transposed(const std::string& name);

  // Loads biases and norms, one after another: f32 [sum of counts].
  DeviceTensor vector(std::span<const RowRange> ranges);
  DeviceTensor vector(const std::string& name);
  // Loads a dense matrix that takes part as activations, in the backend's type of activations.
  DeviceTensor matrix(const std::string& name);
  DeviceTensor matrix(const RowRange& range);
  DeviceTensor activations(const std::vector<float>& values, Shape shape);
  // Loads rows of a matrix in the checkpoint's own type (embedding tables). On the host they stay where they
  // are in the mapped file, and only rows that are used take memory.
  DeviceTensor table(const RowRange& range);

  DeviceTensor upload(const std::vector<float>& values, Shape shape);  // loads values as f32
  const Tensor& tensor(const std::string& name) const;

 private:
  void tell_read(const std::string& name);  // counts a tensor as read, towards those announced
  Tensor matrix_rows(const RowRange& range) const;
  // Returns what `pack` makes of the parts, or what the checkpoint's cache kept of it.
  Weight kept(std::span<const Tensor> parts, Tensor whole, int64_t rows, const std::function<Weight()>& pack);
  // Packs the parts one under another, and zero rows below up to `total`.
  Weight pack_parts(std::span<const Tensor> parts, int64_t total);
  DeviceTensor blank(DType dtype, Shape shape);

  const Checkpoint& checkpoint_;
  Backend& backend_;
  WeightFormat format_;
  std::optional<LoadProgress> progress_;
  std::optional<StatusLine> status_;  // shows it, on a terminal
};

// Returns the elements of a host tensor (f32, bf16, f16) as floats, dense.
std::vector<float> floats_of(Tensor host);

}  // namespace uhd
