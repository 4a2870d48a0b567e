#include "engine/slices/encoder_worker.h"

#include <algorithm>

#include "cluster/host/staged_visual_link.h"
#include "model/vision/slice_plan.h"

namespace uhd {

namespace {

constexpr Duration kIdleWait = std::chrono::milliseconds(50);
constexpr Duration kTransferWait = std::chrono::microseconds(200);

}  // namespace

void EncoderWorker::run(const std::function<bool()>& ended) {
  while (!ended()) {
    const bool moving = !sending_.empty() || connecting_;
    const Duration wait = may_encode() ? Duration::zero() : moving ? kTransferWait : kIdleWait;
    for (ClientEvent& event : leader_.poll(wait)) handle(event);
    advance_link();
    if (may_encode()) encode_batch();
    leader_.set_outstanding(static_cast<uint32_t>(queue_.size() + ready_.size()));
  }
}

void EncoderWorker::handle(ClientEvent& event) {
  if (auto* joined = std::get_if<LeaderJoined>(&event.what)) {
    forget_everything();
    link_ =
        link_for(buffers_.backend(), std::move(joined->link), LinkEnd::sends, buffers_.bytes_of_largest());
    connecting_ = true;
  } else if (auto* job = std::get_if<EncodeJob>(&event.what)) {
    queue_.push_back({job->job,
                      {static_cast<int>(job->width), static_cast<int>(job->height), std::move(job->pixels),
                       job->fingerprint},
                      std::chrono::milliseconds(job->deadline_ms),
                      event.at});
  } else if (auto* go = std::get_if<Go>(&event.what)) {
    go_.push_back(go->job);
  } else if (auto* done = std::get_if<Done>(&event.what)) {
    drop(done->job);
  } else if (auto* cancel = std::get_if<Cancel>(&event.what)) {
    drop(cancel->job);
  } else if (std::holds_alternative<LeaderLost>(event.what)) {
    forget_everything();
  } else if (auto* refused = std::get_if<LeaderRefused>(&event.what)) {
    throw Error(message("the leader refuses this encoder: ", refused->reason));
  }
}

void EncoderWorker::forget_everything() {
  link_.reset();  // first: it may be reading rows
  connecting_ = false;
  sending_.clear();
  cancelled_.clear();
  sent_ = 0;
  queue_.clear();
  go_.clear();
  ready_.clear();
}

void EncoderWorker::drop(uint64_t job) {
  std::erase_if(queue_, [&](const Job& j) { return j.id == job; });
  if (std::find(sending_.begin(), sending_.end(), job) != sending_.end()) {
    cancelled_.insert(job);  // a transfer under way finishes, then the rows go
    return;
  }
  // The leader has posted its receive, which only these rows can end; it says Done afterwards.
  if (std::find(go_.begin(), go_.end(), job) != go_.end()) return;
  ready_.erase(job);
}

// The leader tries a slice only a few times, and a bad one must not use up the tries of its neighbours.
void EncoderWorker::encode_batch() {
  PassRoom room(pass_patches(), buffers_.free());
  std::vector<BatchEncoder::Item> items;
  for (const Job& job : queue_) {
    const int64_t patches = patches_of({job.slice.width, job.slice.height}, options_.patch);
    if (!room.holds(patches)) break;
    room.take(patches);
    items.push_back({&job.slice, rows_of_(job.slice), patches});
  }
  std::vector<BatchEncoder::Pass> passes;
  batches_.encode(items, passes).finish();
  for (BatchEncoder::Pass& pass : passes) {
    if (!pass.failure.empty()) {
      leader_.send(EncodeFailed{queue_[pass.first].id, pass.failure});
      continue;
    }
    patches_a_second_ = static_cast<double>(pass.patches) / std::max(pass.seconds, 1e-6);
    for (size_t i = 0; i < pass.count; ++i) {
      const size_t at = pass.first + i;
      announce(queue_[at], std::move(pass.rows[i]), pass, pass.seconds_of(items[at].patches));
    }
  }
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(items.size()));
}

// The leader takes an encoder for stuck that answers nothing by the deadline of a slice: a pass of several
// takes a part of that at most, as far as the pass before it tells, and the first is of one slice.
int64_t EncoderWorker::pass_patches() const {
  constexpr double kPart = 0.25;
  if (patches_a_second_ == 0) return 1;
  const double patches = kPart * seconds(queue_.front().deadline) * patches_a_second_;
  return static_cast<int64_t>(std::clamp(patches, 1.0, static_cast<double>(options_.batch_patches)));
}

void EncoderWorker::announce(const Job& job, StagedRows staged, const BatchEncoder::Pass& pass, double took) {
  staged.used();
  Encoded encoded;
  encoded.job = job.id;
  encoded.rows = static_cast<uint32_t>(staged.rows.rows());
  encoded.width = static_cast<uint32_t>(staged.rows.row_size());
  encoded.dtype = staged.rows.dtype();
  encoded.seconds = static_cast<float>(took);
  encoded.came = stamp_of(job.came);
  encoded.begun = stamp_of(pass.begun);
  if (buffers_.backend().host_memory()) encoded.ended = stamp_of(pass.ended);
  encoded.left = stamp_of(Clock::now());
  ready_[job.id] = std::move(staged);
  leader_.send(encoded);
}

// Every transfer that the leader has said Go for is under way, each from when its own rows are there: what is
// encoded meanwhile holds none of them up.
void EncoderWorker::advance_link() {
  if (link_ == nullptr) return;
  const LinkState state = link_->poll();
  if (connecting_ && state == LinkState::connecting) return;
  connecting_ = false;
  end_sent();
  if (state == LinkState::failed) return;  // it ends with the connection; the leader tries elsewhere
  while (!go_.empty() && sending_.size() < kMostTransfers) {
    const uint64_t job = go_.front();
    go_.pop_front();
    const auto rows = ready_.find(job);
    if (rows == ready_.end()) continue;
    link_->begin(job, rows->second.rows, &rows->second.last_use());
    sending_.push_back(job);
  }
}

void EncoderWorker::end_sent() {
  for (; sent_ < link_->ended(); ++sent_) {
    const uint64_t job = sending_.front();
    sending_.pop_front();
    if (cancelled_.erase(job) > 0) drop(job);
  }
}

}  // namespace uhd
