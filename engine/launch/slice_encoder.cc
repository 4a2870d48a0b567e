#include "engine/launch/slice_encoder.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "engine/slices/row_sizes.h"
#include "model/vision/slice_rows.h"
#include "model/vision/vision_encoder.h"

namespace uhd {

namespace {

Parts encode(VisionEncoder& encoder, Backend& backend, std::span<const Slice* const> batch, Tensor rows) {
  std::vector<SliceView> views;
  for (const Slice* slice : batch) views.push_back({slice->width, slice->height, slice->pixels});
  Parts parts = encoder.encode(rows, views);
  for (bool more = true; more;) {
    {
      const ProfilerRange range(backend, "uhd_encode");  // ends before other work can begin
      more = parts.advance();
    }
    if (more) co_yield Parts::Pause{};
  }
}

}  // namespace

SliceEncoder make_slice_encoder(const ModelFiles& files, const EngineOptions& options, Backend& backend,
                                MemoryBook& memory) {
  const EncoderLimits limits = encoder_limits(options, backend.host_memory());
  const int64_t most = slice_rows_of(files.config).most(limits.max_patches, limits.max_slices);
  backend.expect_rows(std::max(limits.max_patches + limits.max_slices, most));  // a class token each
  auto tower = memory.take("vision tower", [&] {
    return make_vision_tower(files.config, files.checkpoint, files.vision_checkpoint(), backend,
                             tower_format(files, options, backend));
  });
  SliceEncoder slices;
  slices.workspace = memory.take("passes of the tower", [&] {
    return std::make_shared<Workspace>(
        backend, pass_memory(files.config, limits, backend.activation_dtype(), backend.host_memory()).most);
  });
  const auto encoder = std::make_shared<VisionEncoder>(std::move(tower), tower_shape(files.config), backend,
                                                       limits, slices.workspace);
  slices.encode = [encoder, &backend](std::span<const Slice* const> batch, Tensor rows) {
    return encode(*encoder, backend, batch, rows);
  };
  slices.rows_of = [encoder](const Slice& slice) {
    return static_cast<int>(encoder->tokens_of(slice.width, slice.height));
  };
  slices.warm_up = [encoder, &backend](RowBuffers& buffers) {
    if (backend.host_memory()) return;
    const TimePoint begin = Clock::now();
    encoder->warm_up(buffers.largest_batch());
    StagedRows staged = buffers.take(1);
    backend.cast(staged.rows, buffers.batch(1));
    staged.judge();
    backend.synchronize();
    log_info("the vision tower is warm", "seconds", seconds(Clock::now() - begin));
  };
  return slices;
}

std::unique_ptr<RowBuffers> make_row_buffers(const ModelFiles& files, const EngineOptions& options,
                                             Backend& backend, bool encodes) {
  RowSizes sizes;
  sizes.most_rows = max_piece_rows(files.config, options.image);
  sizes.width = files.config.language.hidden;
  sizes.buffers = fair_buffers(static_cast<size_t>(sizes.most_rows) * static_cast<size_t>(sizes.width) *
                               size_of(backend.activation_dtype()));
  if (encodes) {
    // A pass has as many slices as there are buffers, and no more patches than a batch or one slice.
    const int64_t patches = batch_patches(options, backend.host_memory());
    const int64_t passed = slice_rows_of(files.config).most(patches, sizes.buffers);
    sizes.batch_rows =
        std::min(int64_t{sizes.buffers} * sizes.most_rows, std::max<int64_t>(passed, sizes.most_rows));
  }
  return std::make_unique<RowBuffers>(backend, sizes);
}

}  // namespace uhd
