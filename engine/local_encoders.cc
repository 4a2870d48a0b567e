#include "engine/local_encoders.h"

#include "base/log.h"

namespace uhd {

void LocalEncoders::add(SliceJob job, TimePoint) { queue_.push_back(std::move(job)); }

bool LocalEncoders::cancel(const Fingerprint& fingerprint) {
  return std::erase_if(queue_, [&](const SliceJob& j) { return j.slice->fingerprint == fingerprint; }) > 0;
}

std::vector<EncodedSlice> LocalEncoders::poll(TimePoint now, bool gently) {
  if (queue_.empty()) return {};
  return encode(take_batch(gently ? 1 : batch_patches_), now);
}

std::optional<TimePoint> LocalEncoders::next_poll(TimePoint now) const {
  return queue_.empty() ? std::nullopt : std::optional(now);
}

std::vector<SliceJob> LocalEncoders::take_batch(int64_t patches) {
  std::vector<const Slice*> waiting;
  for (const SliceJob& job : queue_) waiting.push_back(job.slice.get());
  const std::vector<size_t> chosen = choose_batch(waiting, patches, patch_);
  std::vector<SliceJob> batch;
  batch.reserve(chosen.size());
  for (size_t i : chosen) batch.push_back(std::move(queue_[i]));
  std::erase_if(queue_, [](const SliceJob& job) { return job.slice == nullptr; });
  return batch;
}

// When a batch fails, its slices are encoded one by one: a bad slice is no fault of its neighbours.
std::vector<EncodedSlice> LocalEncoders::encode(std::span<const SliceJob> batch, TimePoint now) {
  std::vector<const Slice*> slices;
  int rows = 0;
  for (const SliceJob& job : batch) {
    slices.push_back(job.slice.get());
    rows += job.rows;
  }
  Backend& backend = buffers_.backend();
  const int64_t width = buffers_.width();
  const DType dtype = backend.activation_dtype();
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(width) * size_of(dtype);
  std::vector<EncodedSlice> ended;
  try {
    if (batch_rows_.bytes() < bytes) batch_rows_ = backend.allocate(bytes);
    const Tensor all = batch_rows_.as(dtype, {rows, width});
    encode_(slices, all);
    int64_t first = 0;
    for (const SliceJob& job : batch) {
      ended.push_back(finished(job, all.slice_rows(first, job.rows), now));
      first += job.rows;
    }
    return ended;
  } catch (const std::exception& e) {
    log_error("encoding failed", "slices", batch.size(), "reason", e.what());
  }
  ended.clear();
  if (batch.size() == 1) {
    ended.push_back({batch[0].slice->fingerprint, false, false, "the encoder failed", {}, now});
    return ended;
  }
  for (size_t i = 0; i < batch.size(); ++i) ended.push_back(std::move(encode(batch.subspan(i, 1), now)[0]));
  return ended;
}

EncodedSlice LocalEncoders::finished(const SliceJob& job, Tensor rows, TimePoint started) {
  EncodedSlice slice{job.slice->fingerprint, true, false, "", {}, started};
  if (!all_finite(buffers_.backend(), rows)) {
    slice.ok = false;
    slice.reason = "the encoder's result is not a number";
    return slice;
  }
  slice.rows = buffers_.take(job.rows);
  buffers_.backend().cast(slice.rows.rows, rows);
  return slice;
}

}  // namespace uhd
