#include "engine/slices/remote_encoders.h"

#include <algorithm>

#include "base/log.h"
#include "cluster/host/staged_visual_link.h"

namespace uhd {

namespace {

// Between looks at a transfer under way: links have no way to wake the engine.
constexpr Duration kTransferPoll = std::chrono::microseconds(200);
// Links of lost encoders that have not ended; each holds a thread and perhaps memory.
constexpr size_t kMostDeparted = 64;
constexpr Duration kTellEvery = std::chrono::milliseconds(500);

}  // namespace

std::vector<EncodedSlice> RemoteEncoders::poll(TimePoint now, const EncodingTurn&) {
  for (ServerEvent& event : server_.poll()) {
    guarded(event.encoder, [&] { handle(event); });
  }
  std::vector<EncoderId> ids;
  for (const auto& [id, peer] : peers_) ids.push_back(id);
  for (EncoderId id : ids) {
    guarded(id, [&] { advance(id, peers_.at(id), now); });
  }
  settle(now);
  part_with_departed();
  begin_transfers(now);
  obey(pool_.tick(now));
  send_slices(now);
  collect();
  tell_states(now);
  return std::exchange(ended_, {});
}

std::optional<TimePoint> RemoteEncoders::next_poll(TimePoint now) const {
  if (!departed_.empty() || !judged_.empty() || !waiting_.empty()) return now + kTransferPoll;
  for (const auto& [id, peer] : peers_) {
    if (!peer.moving.empty() || !peer.met) return now + kTransferPoll;
  }
  return pool_.next_deadline();
}

template <class Work>
void RemoteEncoders::guarded(EncoderId encoder, const Work& work) {
  try {
    work();
  } catch (const std::exception& e) {
    log_error("an encoder is disconnected", "encoder", encoder, "reason", e.what());
    server_.close(encoder, "the leader failed on this encoder");
  }
}

void RemoteEncoders::handle(ServerEvent& event) {
  const EncoderId id = event.encoder;
  if (auto* hello = std::get_if<EncoderJoined>(&event.what)) {
    joined(id, *hello, event.at);
  } else if (auto* ready = std::get_if<Encoded>(&event.what)) {
    encoded(id, *ready, event.at);
  } else if (auto* failure = std::get_if<EncodeFailed>(&event.what)) {
    if (pool_.awaits(id, failure->job)) {
      log_warning("a slice failed", "encoder", id, "job", failure->job, "reason", failure->reason);
    }
    pool_.failed(id, failure->job, "the encoder failed", event.at);
  } else if (auto* gone = std::get_if<EncoderLeft>(&event.what)) {
    left(id, gone->reason, event.at);
  } else {
    pool_.heard(id, event.at);
  }
}

void RemoteEncoders::joined(EncoderId encoder, EncoderJoined& hello, TimePoint now) {
  if (departed_.size() >= kMostDeparted) {
    return server_.close(encoder, "too many links of lost encoders have not ended yet");
  }
  Peer& peer = peers_[encoder];
  peer.link =
      link_for(buffers_.backend(), std::move(hello.link), LinkEnd::receives, buffers_.bytes_of_largest());
  peer.capacity = static_cast<int>(hello.hello.capacity);
  meet(encoder, peer, now);
}

// Returns how much an encoder may take of the memory for rows. It leaves some to later encoders, because a
// link that has not ended keeps its memory.
size_t RemoteEncoders::share() const {
  size_t left = buffers_.count();
  for (const Departed& departed : departed_) left -= departed.moving.size();
  return std::clamp<size_t>(left / (peers_.size() + 1), 1, kMostTransfers);
}

void RemoteEncoders::left(EncoderId encoder, const std::string& reason, TimePoint now) {
  metrics_.encoder_lost();
  metrics_.encoder_gone(encoder);
  pool_.left(encoder, reason, now);
  const auto peer = peers_.find(encoder);
  if (peer == peers_.end()) return;
  std::erase_if(waiting_, [&](const Transfer& transfer) { return transfer.encoder == encoder; });
  peer->second.link->abort();
  departed_.push_back({std::move(peer->second.moving), std::move(peer->second.link)});
  peers_.erase(peer);
}

// A link that may still write to its rows keeps them; the others go on meanwhile, with the remaining memory.
void RemoteEncoders::part_with_departed() {
  for (auto departed = departed_.begin(); departed != departed_.end();) {
    departed = departed->link->poll() == LinkState::failed ? departed_.erase(departed) : departed + 1;
  }
}

void RemoteEncoders::encoded(EncoderId encoder, const Encoded& what, TimePoint now) {
  const std::optional<SliceJob> job = pool_.encoded(encoder, what.job, now, what);
  if (!job) {
    server_.send(encoder, Cancel{what.job});
    return;
  }
  const bool fits = static_cast<int>(what.rows) == job->rows &&
                    static_cast<int>(what.width) == buffers_.width() &&
                    what.dtype == buffers_.backend().activation_dtype();
  if (!fits) {
    server_.send(encoder, Cancel{what.job});
    pool_.failed(encoder, what.job, "the encoder's rows have another shape than agreed", now);
    return;
  }
  Peer& peer = peers_.at(encoder);
  if (!peer.announced.insert(what.job).second) {
    return server_.close(encoder, "it announced the rows of a slice twice");
  }
  waiting_.push_back({encoder, what.job, job->slice->fingerprint, job->rows, {}});
}

// The encoder may be given slices once its link stands.
void RemoteEncoders::meet(EncoderId encoder, Peer& peer, TimePoint now) {
  const LinkState state = peer.link->poll();
  if (state == LinkState::connecting) return;
  if (state == LinkState::failed) {
    server_.close(encoder, message("its link failed: ", peer.link->failure()));
    return;
  }
  peer.met = true;
  pool_.joined(encoder, peer.capacity, now);
}

void RemoteEncoders::advance(EncoderId encoder, Peer& peer, TimePoint now) {
  if (!peer.met) meet(encoder, peer, now);
  if (peer.moving.empty()) return;
  const LinkState state = peer.link->poll();
  // Rows that came before the link failed are as good as any.
  for (; peer.moved < peer.link->ended(); ++peer.moved) arrived(peer);
  if (state == LinkState::failed) {
    server_.close(encoder, message("its link failed: ", peer.link->failure()));
  }
}

// Transfers begin in the order in which they were announced, while there is memory. No encoder takes more
// than its share, so that one which sends nothing does not hold up the others.
void RemoteEncoders::begin_transfers(TimePoint now) {
  const size_t most = share();
  for (auto next = waiting_.begin(); next != waiting_.end() && buffers_.free() > 0;) {
    Peer& peer = peers_.at(next->encoder);
    if (!pool_.awaits(next->encoder, next->job)) {  // overdue or unwanted meanwhile
      peer.announced.erase(next->job);
      next = waiting_.erase(next);
    } else if (peer.moving.size() >= most) {
      ++next;
    } else {
      guarded(next->encoder, [&] { begin(peer, std::move(*next), now); });
      next = waiting_.erase(next);
    }
  }
}

void RemoteEncoders::begin(Peer& peer, Transfer transfer, TimePoint now) {
  transfer.rows = buffers_.take(transfer.count);
  peer.link->begin(transfer.job, transfer.rows.rows, &transfer.rows.last_use());
  server_.send(transfer.encoder, Go{transfer.job});
  pool_.fetch_begun(transfer.encoder, transfer.job, now);
  peer.moving.push_back(std::move(transfer));
}

void RemoteEncoders::arrived(Peer& peer) {
  Transfer transfer = std::move(peer.moving.front());
  peer.moving.pop_front();
  server_.send(transfer.encoder, Done{transfer.job});
  transfer.rows.judge();
  judged_.push_back(std::move(transfer));
}

// A slice has arrived when its values are known to be numbers: nothing reads the rows before.
void RemoteEncoders::settle(TimePoint now) {
  while (!judged_.empty()) {
    const std::optional<bool> finite = judged_.front().rows.finite();
    if (!finite) return;
    Transfer transfer = std::move(judged_.front());
    judged_.pop_front();
    if (const auto peer = peers_.find(transfer.encoder); peer != peers_.end()) {
      peer->second.announced.erase(transfer.job);
    }
    if (!pool_.awaits(transfer.encoder, transfer.job)) continue;
    if (*finite) {
      arrived_[transfer.fingerprint] = std::move(transfer.rows);
      pool_.received(transfer.encoder, transfer.job, now);
    } else {
      pool_.failed(transfer.encoder, transfer.job, "the encoder's result is not a number", now);
    }
  }
}

void RemoteEncoders::obey(const EncoderPool::Verdict& verdict) {
  for (const auto& [encoder, job] : verdict.cancel) server_.send(encoder, Cancel{job});
  for (const auto& [encoder, reason] : verdict.close) server_.close(encoder, reason);
}

void RemoteEncoders::send_slices(TimePoint now) {
  for (const EncoderPool::Send& send : pool_.dispatch(now)) {
    EncodeJob job;
    job.job = send.job;
    job.fingerprint = send.slice->fingerprint;
    job.width = static_cast<uint32_t>(send.slice->width);
    job.height = static_cast<uint32_t>(send.slice->height);
    job.pixels = send.slice->pixels;
    job.deadline_ms = static_cast<uint32_t>(job_deadline_s_ * 1000);
    server_.send(send.encoder, std::move(job));
  }
}

void RemoteEncoders::tell_states(TimePoint now) {
  if (now - states_told_ < kTellEvery) return;
  states_told_ = now;
  for (const EncoderState& state : pool_.states(now)) metrics_.encoder(state);
}

void RemoteEncoders::collect() {
  for (EncoderPool::Outcome& outcome : pool_.take_outcomes()) {
    EncodedSlice slice;
    slice.fingerprint = outcome.fingerprint;
    slice.ok = outcome.ok;
    slice.no_encoder = outcome.no_encoder;
    slice.reason = std::move(outcome.reason);
    slice.first_sent = outcome.first_sent;
    slice.course = outcome.course;
    if (outcome.ok) slice.rows = std::move(arrived_.extract(outcome.fingerprint).mapped());
    ended_.push_back(std::move(slice));
  }
  metrics_.slices_retried(static_cast<double>(pool_.retries() - retries_seen_));
  retries_seen_ = pool_.retries();
}

}  // namespace uhd
