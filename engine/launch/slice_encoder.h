// The vision tower as a part of a rank: the function that encoders call, and memory for the rows it makes.
#pragma once

#include <functional>
#include <memory>

#include "engine/launch/memory_book.h"
#include "engine/launch/model_files.h"
#include "engine/slices/row_buffers.h"
#include "engine/slices/slice_encoders.h"
#include "kernels/workspace.h"

namespace uhd {

// The functions share the tower and keep it; they belong to the thread that encodes. `rows_of` gives the
// number of rows that a slice becomes. `warm_up` makes on a device what only first uses make, on the way of a
// slice from its pixels to its judged rows; it is called once, before there are slices. Others may take
// from `workspace` between the parts of a pass, if they give it back before the next part.
struct SliceEncoder {
  EncodeSlices encode;
  std::function<int(const Slice&)> rows_of;
  std::function<void(RowBuffers&)> warm_up;
  std::shared_ptr<Workspace> workspace;  // of the tower's passes
};

// Loads the tower, takes memory for its passes, and books both. The backend is borrowed; the files are not
// needed afterwards.
SliceEncoder make_slice_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend,
                                MemoryBook& memory);

// Takes memory for rows on their way; where the rank `encodes`, for what one pass of the tower writes, too.
std::unique_ptr<RowBuffers> make_row_buffers(const ModelFiles& files, const EngineOptions& options,
                                             Backend& backend, bool encodes);

}  // namespace uhd
