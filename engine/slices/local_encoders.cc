#include "engine/slices/local_encoders.h"

#include "base/log.h"

namespace uhd {

namespace {

// Between looks at what the device is still doing, which has no way to wake the engine.
constexpr Duration kLook = std::chrono::microseconds(200);

}  // namespace

void LocalEncoders::add(SliceJob job, TimePoint) { queue_.push_back(std::move(job)); }

bool LocalEncoders::cancel(const Fingerprint& fingerprint) {
  return std::erase_if(queue_, [&](const SliceJob& j) { return j.slice->fingerprint == fingerprint; }) > 0;
}

std::vector<EncodedSlice> LocalEncoders::poll(TimePoint now, bool gently) {
  if (may_encode()) encode(take_batch(gently ? 1 : batch_patches_), now);
  std::vector<EncodedSlice> ended;
  while (!made_.empty() && settle(made_.front())) {
    ended.push_back(std::move(made_.front()));
    made_.pop_front();
  }
  return ended;
}

std::optional<TimePoint> LocalEncoders::next_poll(TimePoint now) const {
  if (may_encode()) return now;
  return queue_.empty() && made_.empty() ? std::nullopt : std::optional(now + kLook);
}

std::vector<SliceJob> LocalEncoders::take_batch(int64_t patches) {
  std::vector<const Slice*> waiting;
  for (const SliceJob& job : queue_) waiting.push_back(job.slice.get());
  const std::vector<size_t> chosen = choose_batch(waiting, patches, patch_, buffers_.free());
  std::vector<SliceJob> batch;
  batch.reserve(chosen.size());
  for (size_t i : chosen) batch.push_back(std::move(queue_[i]));
  std::erase_if(queue_, [](const SliceJob& job) { return job.slice == nullptr; });
  return batch;
}

// When a batch fails, its slices are encoded one by one: a bad slice is no fault of its neighbours.
void LocalEncoders::encode(std::span<const SliceJob> batch, TimePoint now) {
  if (encode_at_once(batch, now)) return;
  if (batch.size() == 1) {
    made_.push_back({batch[0].slice->fingerprint, false, false, "the encoder failed", {}, now});
    return;
  }
  for (size_t i = 0; i < batch.size(); ++i) encode(batch.subspan(i, 1), now);
}

bool LocalEncoders::encode_at_once(std::span<const SliceJob> batch, TimePoint now) {
  std::vector<const Slice*> slices;
  int64_t rows = 0;
  for (const SliceJob& job : batch) {
    slices.push_back(job.slice.get());
    rows += job.rows;
  }
  try {
    const Tensor all = buffers_.batch(rows);
    encode_(slices, all);
    int64_t first = 0;
    for (const SliceJob& job : batch) {
      keep(job, all.slice_rows(first, job.rows), now);
      first += job.rows;
    }
    return true;
  } catch (const std::exception& e) {
    log_error("encoding failed", "slices", batch.size(), "reason", e.what());
    return false;
  }
}

void LocalEncoders::keep(const SliceJob& job, Tensor rows, TimePoint started) {
  EncodedSlice slice{job.slice->fingerprint, true, false, "", buffers_.take(job.rows), started};
  buffers_.backend().cast(slice.rows.rows, rows);
  slice.rows.judge();
  made_.push_back(std::move(slice));
}

// Whether it is known how the slice ended.
bool LocalEncoders::settle(EncodedSlice& slice) {
  if (!slice.ok) return true;
  const std::optional<bool> finite = slice.rows.finite();
  if (!finite) return false;
  if (!*finite) {
    slice.ok = false;
    slice.reason = "the encoder's result is not a number";
    slice.rows = {};
  }
  return true;
}

}  // namespace uhd
