// RowBuffers hold the memory for the rows of slices on their way from an encoder to the visual store. It is
// taken once and used again and again.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/backend.h"

namespace uhd {

class RowBuffers;

// StagedRows are the rows of one slice and the memory they lie in, which goes back to its buffers with them.
// They are move-only.
class StagedRows {
 public:
  StagedRows() = default;
  StagedRows(StagedRows&& o) noexcept;
  StagedRows& operator=(StagedRows&& o) noexcept;
  ~StagedRows();
  explicit operator bool() const { return buffer_ != nullptr; }

  // Returns a mark behind the work that was queued on the memory until it was taken, or until used() was
  // called last.
  const Mark& last_use() const;
  void used();

  // Queues a check of the rows and waits for nothing. finite() says whether all their values are numbers once
  // the device has come to the check, and nothing before.
  void judge();
  std::optional<bool> finite() const;

  Tensor rows;  // [n, H]

 private:
  friend class RowBuffers;
  struct Buffer {
    DeviceBuffer memory;  // [most rows, H]
    Tensor flags;         // i32 [most rows]
    std::unique_ptr<Mark> last_use;
    std::unique_ptr<Readback> verdict;
  };
  RowBuffers* owner_ = nullptr;
  Buffer* buffer_ = nullptr;
};

struct RowSizes {
  int buffers = 1;
  int most_rows = 0;       // rows of one slice
  int width = 0;           // H
  int64_t batch_rows = 0;  // all slices of one pass; 0: this rank encodes none
};

// Returns how many buffers of so many bytes are a fair share of a rank's memory.
int fair_buffers(size_t bytes);

// Takes all of its memory at once. RowBuffers are not thread-safe, and must outlive the rows taken from them.
class RowBuffers {
 public:
  RowBuffers(Backend& backend, const RowSizes& sizes);

  // Takes a buffer; one must be free. On a device it takes the one that has been free for longest, because
  // the work queued on it is likely to be over; on the host the one that was used last, because its pages are
  // there, while those of a buffer that was never used cost nothing.
  StagedRows take(int rows);
  size_t free() const { return free_.size(); }
  size_t count() const { return buffers_.size(); }
  size_t bytes_of_largest() const { return buffers_.front().memory.bytes(); }
  // Returns the place where a pass writes the rows of its slices, [rows, H]. One pass after another uses it.
  Tensor batch(int64_t rows) const;
  Tensor largest_batch() const { return batch(sizes_.batch_rows); }
  Backend& backend() const { return backend_; }
  int width() const { return sizes_.width; }

 private:
  friend class StagedRows;
  Backend& backend_;
  RowSizes sizes_;
  DeviceBuffer flags_, batch_;
  std::vector<StagedRows::Buffer> buffers_;
  std::deque<StagedRows::Buffer*> free_;
};

}  // namespace uhd
