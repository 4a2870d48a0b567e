// Encodes batches of slices into rows on their way. Where a batch fails, its slices are encoded one by one: a
// bad slice is no fault of its neighbours.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/slices/row_buffers.h"
#include "engine/slices/slice_encoders.h"

namespace uhd {

// Belongs to the thread that encodes. The buffers are borrowed.
class BatchEncoder {
 public:
  BatchEncoder(EncodeSlices encode, RowBuffers& buffers) : encode_(std::move(encode)), buffers_(buffers) {}

  struct Item {
    const Slice* slice = nullptr;
    int rows = 0;         // rows that the slice becomes
    int64_t patches = 0;  // patches of the slice
  };
  // One forward pass: of slices [first, first + count) of the batch.
  struct Pass {
    size_t first = 0;
    size_t count = 0;
    int64_t patches = 0;           // patches of these slices
    std::vector<StagedRows> rows;  // the queued rows of each slice; none where the pass failed
    std::string failure;           // the reason why a pass of one slice failed
    double seconds = 0;            // the time of its parts, without what was done in between
    TimePoint begun{}, ended{};    // include the time in between; on a device the pass is only queued then

    // Returns the share of one of its slices.
    double seconds_of(int64_t own) const {
      return seconds * static_cast<double>(own) / static_cast<double>(std::max<int64_t>(1, patches));
    }
  };

  // Appends the passes in the order of the slices: one of all of them, or one of each. As many buffers are
  // free as there are slices: the first part takes them. `batch` and `passes` outlive the work.
  Parts encode(std::span<const Item> batch, std::vector<Pass>& passes);

 private:
  Parts run(std::span<const Item> batch, std::vector<StagedRows>& staged, Pass& pass);

  EncodeSlices encode_;
  RowBuffers& buffers_;
};

}  // namespace uhd
