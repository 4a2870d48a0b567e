#include "engine/slices/local_encoders.h"

#include <algorithm>

namespace uhd {

namespace {

// Between looks at what the device is still doing, which has no way to wake the engine.
constexpr Duration kLook = std::chrono::microseconds(200);

}  // namespace

void LocalEncoders::add(SliceJob job, TimePoint) {
  turns_.enter(job.client);
  queue_.push_back(std::move(job));
}

bool LocalEncoders::cancel(const Fingerprint& fingerprint) {
  const auto at =
      std::ranges::find_if(queue_, [&](const SliceJob& j) { return j.slice->fingerprint == fingerprint; });
  if (at == queue_.end()) return false;
  turns_.leave(at->client);
  queue_.erase(at);
  return true;
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

// The queue is not empty. The slice whose turn it is opens the batch.
std::vector<SliceJob> LocalEncoders::take_batch(int64_t patches) {
  const std::string* client = turns_.choose([](const std::string&) { return true; });
  const auto next = std::ranges::find(queue_, *client, &SliceJob::client);
  std::rotate(queue_.begin(), next, next + 1);
  std::vector<const Slice*> waiting;
  for (const SliceJob& job : queue_) waiting.push_back(job.slice.get());
  const std::vector<size_t> chosen = choose_batch(waiting, patches, patch_, buffers_.free());
  std::vector<SliceJob> batch;
  batch.reserve(chosen.size());
  for (size_t i : chosen) {
    turns_.charge(queue_[i].client, static_cast<double>(queue_[i].patches));
    batch.push_back(std::move(queue_[i]));
  }
  for (const SliceJob& job : batch) turns_.leave(job.client);
  std::erase_if(queue_, [](const SliceJob& job) { return job.slice == nullptr; });
  return batch;
}

void LocalEncoders::encode(std::span<const SliceJob> batch, TimePoint now) {
  std::vector<BatchEncoder::Item> items;
  for (const SliceJob& job : batch) items.push_back({job.slice.get(), job.rows});
  for (BatchEncoder::Pass& pass : batches_.encode(items)) {
    for (size_t i = 0; i < pass.count; ++i) {
      EncodedSlice& slice = made_.emplace_back();
      slice.fingerprint = items[pass.first + i].slice->fingerprint;
      slice.first_sent = now;
      slice.ok = pass.failure.empty();
      if (slice.ok) {
        slice.rows = std::move(pass.rows[i]);
        slice.rows.judge();
      } else {
        slice.reason = "the encoder failed";
      }
    }
  }
}

// Returns whether it is known how the slice ended.
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
