#include "engine/slices/kept_slices.h"

#include <algorithm>
#include <cstring>

namespace uhd {

namespace {

constexpr size_t kDownloads = 8;  // at once

}  // namespace

KeptSlices::KeptSlices(std::unique_ptr<SliceEncoders> encoders, RowBuffers& buffers, int64_t most_bytes,
                       Metrics& metrics)
    : encoders_(std::move(encoders)), buffers_(buffers), most_bytes_(most_bytes), metrics_(metrics) {
  for (size_t i = 0; i < kDownloads; ++i) {
    spare_.push_back(buffers.backend().make_readback(buffers.bytes_of_largest()));
  }
}

void KeptSlices::add(SliceJob job, TimePoint now) {
  const auto kept = kept_.find(job.slice->fingerprint);
  if (kept == kept_.end()) return encoders_->add(std::move(job), now);
  order_.splice(order_.begin(), order_, kept->second);
  wanted_.push_back(job.slice->fingerprint);
}

bool KeptSlices::cancel(const Fingerprint& fingerprint) {
  return std::erase(wanted_, fingerprint) > 0 || encoders_->cancel(fingerprint);
}

std::vector<EncodedSlice> KeptSlices::poll(TimePoint now, const EncodingTurn& turn) {
  std::vector<EncodedSlice> ended = take_wanted(now);
  for (EncodedSlice& slice : encoders_->poll(now, turn)) {
    if (slice.ok) begin_download(slice);
    ended.push_back(std::move(slice));
  }
  end_downloads();
  return ended;
}

std::optional<TimePoint> KeptSlices::next_poll(TimePoint now) const {
  if (!wanted_.empty() && buffers_.free() > 0) return now;
  std::optional<TimePoint> next = encoders_->next_poll(now);
  if (wanted_.empty() && downloads_.empty()) return next;
  return next ? std::min(*next, now + kLookAtDevice) : now + kLookAtDevice;
}

std::vector<EncodedSlice> KeptSlices::take_wanted(TimePoint now) {
  std::vector<EncodedSlice> ended;
  while (!wanted_.empty() && buffers_.free() > 0) {
    Kept& kept = *kept_.at(wanted_.front());
    wanted_.pop_front();
    EncodedSlice& slice = ended.emplace_back();
    slice.fingerprint = kept.fingerprint;
    slice.ok = true;
    slice.kept = true;
    slice.first_sent = now;
    slice.rows = buffers_.take(static_cast<int>(kept.count));
    const Tensor rows = slice.rows.rows;
    buffers_.backend().upload(rows, Tensor(kept.rows.data(), rows.dtype(), rows.shape()));
    slice.rows.used();
  }
  return ended;
}

// The slice need not wait for the copy: work on its rows is queued behind it.
void KeptSlices::begin_download(const EncodedSlice& slice) {
  const auto bytes = static_cast<int64_t>(slice.rows.rows.bytes());
  if (spare_.empty() || bytes > most_bytes_ || kept_.contains(slice.fingerprint)) return;
  Download& download = downloads_.emplace_back();
  download.fingerprint = slice.fingerprint;
  download.count = slice.rows.rows.rows();
  download.rows = std::move(spare_.back());
  spare_.pop_back();
  download.rows->begin(slice.rows.rows);
}

void KeptSlices::end_downloads() {
  while (!downloads_.empty() && downloads_.front().rows->ready()) {
    Download download = std::move(downloads_.front());
    downloads_.pop_front();
    keep(download.fingerprint, download.rows->wait());
    spare_.push_back(std::move(download.rows));
  }
}

void KeptSlices::keep(const Fingerprint& fingerprint, Tensor rows) {
  if (kept_.contains(fingerprint)) return;
  const auto bytes = static_cast<int64_t>(rows.bytes());
  for (auto last = order_.end(); bytes_ + bytes > most_bytes_ && last != order_.begin();) {
    --last;
    if (std::ranges::find(wanted_, last->fingerprint) != wanted_.end()) continue;
    bytes_ -= static_cast<int64_t>(last->rows.size());
    kept_.erase(last->fingerprint);
    last = order_.erase(last);
    metrics_.kept_slice_evicted();
  }
  if (bytes_ + bytes > most_bytes_) return;
  order_.push_front({fingerprint, std::vector<std::byte>(rows.bytes()), rows.rows()});
  std::memcpy(order_.front().rows.data(), rows.raw(), rows.bytes());
  kept_.emplace(fingerprint, order_.begin());
  bytes_ += bytes;
}

}  // namespace uhd
