#include "engine/slices/row_buffers.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace uhd {

int fair_buffers(size_t bytes) {
  constexpr size_t kAltogether = size_t{256} << 20;
  return static_cast<int>(std::clamp<size_t>(kAltogether / std::max<size_t>(1, bytes), 4, 32));
}

StagedRows::StagedRows(StagedRows&& o) noexcept
    : rows(o.rows), owner_(std::exchange(o.owner_, nullptr)), buffer_(std::exchange(o.buffer_, nullptr)) {}

StagedRows& StagedRows::operator=(StagedRows&& o) noexcept {
  std::swap(rows, o.rows);
  std::swap(owner_, o.owner_);
  std::swap(buffer_, o.buffer_);
  return *this;
}

// The next owner of the memory must know the work that is queued on it now.
StagedRows::~StagedRows() {
  if (buffer_ == nullptr) return;
  try {
    used();
    if (owner_->backend_.host_memory())
      owner_->free_.push_front(buffer_);
    else
      owner_->free_.push_back(buffer_);
  } catch (const std::exception& e) {
    log_error("memory of rows is lost", "reason", e.what());
  }
}

const Mark& StagedRows::last_use() const { return *buffer_->last_use; }

void StagedRows::used() { buffer_->last_use->set(); }

void StagedRows::judge() {
  const Tensor flags = buffer_->flags.slice_rows(0, rows.rows());
  owner_->backend_.finite_rows(flags, rows);
  buffer_->verdict->begin(flags);
}

std::optional<bool> StagedRows::finite() const {
  if (!buffer_->verdict->ready()) return std::nullopt;
  const Tensor flags = buffer_->verdict->wait();
  const auto* const first = flags.data<int32_t>();
  return std::all_of(first, first + flags.elements(), [](int32_t flag) { return flag == 1; });
}

RowBuffers::RowBuffers(Backend& backend, const RowSizes& sizes)
    : backend_(backend), sizes_(sizes), buffers_(static_cast<size_t>(sizes.buffers)) {
  const DType dtype = backend.activation_dtype();
  const int64_t rows = int64_t{sizes.buffers} * sizes.most_rows;
  const size_t row_bytes = static_cast<size_t>(sizes.width) * size_of(dtype);
  flags_ = backend.allocate(static_cast<size_t>(rows) * sizeof(int32_t));
  if (sizes.batch_rows > 0) batch_ = backend.allocate(static_cast<size_t>(sizes.batch_rows) * row_bytes);
  const Tensor flags = flags_.as(DType::i32, {rows});
  int64_t first = 0;
  for (StagedRows::Buffer& buffer : buffers_) {
    buffer.memory = backend.allocate(static_cast<size_t>(sizes.most_rows) * row_bytes);
    buffer.flags = flags.slice_rows(first, sizes.most_rows);
    buffer.last_use = backend.make_mark();
    buffer.verdict = backend.make_readback(static_cast<size_t>(sizes.most_rows) * sizeof(int32_t));
    free_.push_back(&buffer);
    first += sizes.most_rows;
  }
}

StagedRows RowBuffers::take(int rows) {
  check(rows > 0 && rows <= sizes_.most_rows, "a slice of ", rows, " rows, but the largest has ",
        sizes_.most_rows);
  check(!free_.empty(), "rows of more slices than the ", buffers_.size(), " that there is memory for");
  StagedRows staged;
  staged.owner_ = this;
  staged.buffer_ = free_.front();
  staged.rows = staged.buffer_->memory.as(backend_.activation_dtype(), {rows, sizes_.width});
  free_.pop_front();
  return staged;
}

Tensor RowBuffers::batch(int64_t rows) const {
  check(rows <= sizes_.batch_rows, "a pass of ", rows, " rows, but there is memory for ", sizes_.batch_rows);
  return batch_.as(backend_.activation_dtype(), {rows, sizes_.width});
}

}  // namespace uhd
