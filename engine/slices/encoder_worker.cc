#include "engine/slices/encoder_worker.h"

#include <algorithm>

#include "base/log.h"
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
                      std::chrono::milliseconds(job->deadline_ms)});
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

void EncoderWorker::encode_batch() {
  std::vector<const Slice*> waiting;
  for (const Job& job : queue_) waiting.push_back(&job.slice);
  const std::vector<size_t> chosen = choose_batch(waiting, pass_patches(), options_.patch, buffers_.free());
  encode(chosen);
  for (size_t n = chosen.size(); n-- > 0;)
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(chosen[n]));
}

// The leader takes an encoder for stuck that answers nothing by the deadline of a slice: a pass of several
// takes a part of that at most, as far as the pass before it tells, and the first is of one slice.
int64_t EncoderWorker::pass_patches() const {
  constexpr double kPart = 0.25;
  if (patches_a_second_ == 0) return 1;
  const double patches = kPart * seconds(queue_.front().deadline) * patches_a_second_;
  return static_cast<int64_t>(std::clamp(patches, 1.0, static_cast<double>(options_.batch_patches)));
}

// Of the queue. When a batch fails, its slices are encoded one by one: the leader tries a slice only a few
// times, and a bad one must not use up the tries of its neighbours.
void EncoderWorker::encode(std::span<const size_t> chosen) {
  std::vector<const Slice*> slices;
  std::vector<int> rows;
  int total = 0;
  const TimePoint start = Clock::now();
  std::optional<std::string> reason;
  Tensor all;
  try {
    for (size_t i : chosen) {
      slices.push_back(&queue_[i].slice);
      rows.push_back(rows_of_(queue_[i].slice));
      total += rows.back();
    }
    all = buffers_.batch(total);
    encode_(slices, all);
  } catch (const std::exception& e) {
    log_error("encoding failed", "slices", chosen.size(), "reason", e.what());
    reason = e.what();
  }
  if (reason && chosen.size() == 1) {
    leader_.send(EncodeFailed{queue_[chosen[0]].id, *reason});
    return;
  }
  if (reason) {
    for (size_t n = 0; n < chosen.size(); ++n) encode(chosen.subspan(n, 1));
    return;
  }
  const double took = seconds(Clock::now() - start);
  int64_t patches = 0;
  for (const Slice* slice : slices) patches += patches_of({slice->width, slice->height}, options_.patch);
  patches_a_second_ = static_cast<double>(patches) / std::max(took, 1e-6);
  int64_t first = 0;
  for (size_t n = 0; n < chosen.size(); ++n) {
    announce(queue_[chosen[n]], all.slice_rows(first, rows[n]), took);
    first += rows[n];
  }
}

void EncoderWorker::announce(const Job& job, Tensor rows, double seconds) {
  StagedRows staged = buffers_.take(static_cast<int>(rows.rows()));
  buffers_.backend().cast(staged.rows, rows);
  staged.used();
  Encoded encoded;
  encoded.job = job.id;
  encoded.rows = static_cast<uint32_t>(rows.rows());
  encoded.width = static_cast<uint32_t>(rows.row_size());
  encoded.dtype = rows.dtype();
  encoded.seconds = static_cast<float>(seconds);
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
