#include "engine/remote_encoders.h"

#include <algorithm>

#include "base/log.h"
#include "cluster/staged_visual_link.h"

namespace uhd {

namespace {

// Between looks at a transfer under way: links have no way to wake the engine.
constexpr Duration kTransferPoll = std::chrono::microseconds(200);

}  // namespace

std::vector<EncodedSlice> RemoteEncoders::poll(TimePoint now, bool) {
  for (ServerEvent& event : server_.poll()) {
    guarded(event.encoder, [&] { handle(event); });
  }
  std::vector<EncoderId> ids;
  for (const auto& [id, peer] : peers_) ids.push_back(id);
  for (EncoderId id : ids) {
    guarded(id, [&] { advance(id, peers_.at(id), now); });
  }
  part_with_departed();
  obey(pool_.tick(now));
  send_slices(now);
  collect();
  return std::exchange(ended_, {});
}

std::optional<TimePoint> RemoteEncoders::next_poll(TimePoint now) const {
  if (!departed_.empty()) return now + kTransferPoll;
  for (const auto& [id, peer] : peers_) {
    if (peer.current || !peer.met) return now + kTransferPoll;
  }
  return pool_.next_deadline();
}

template <class Work>
void RemoteEncoders::guarded(EncoderId encoder, const Work& work) {
  try {
    work();
  } catch (const std::exception& e) {
    log_error("an encoder is sent away", "encoder", encoder, "reason", e.what());
    server_.close(encoder, "the leader could not go on with it");
  }
}

void RemoteEncoders::handle(ServerEvent& event) {
  const EncoderId id = event.encoder;
  if (auto* hello = std::get_if<EncoderJoined>(&event.what)) {
    Peer& peer = peers_[id];
    peer.link = link_for(buffers_.backend(), std::move(hello->link), LinkEnd::receives);
    peer.capacity = static_cast<int>(hello->hello.capacity);
    meet(id, peer, event.at);
  } else if (auto* ready = std::get_if<Encoded>(&event.what)) {
    encoded(id, *ready, event.at);
  } else if (auto* failure = std::get_if<EncodeFailed>(&event.what)) {
    pool_.failed(id, failure->job, "the encoder failed", event.at);
    log_warning("a slice failed", "encoder", id, "job", failure->job, "reason", failure->reason);
  } else if (auto* gone = std::get_if<EncoderLeft>(&event.what)) {
    left(id, gone->reason, event.at);
  } else {
    pool_.heard(id, event.at);
  }
}

void RemoteEncoders::left(EncoderId encoder, const std::string& reason, TimePoint now) {
  metrics_.encoder_lost();
  pool_.left(encoder, reason, now);
  const auto peer = peers_.find(encoder);
  if (peer == peers_.end()) return;
  peer->second.link->abort();
  departed_.push_back({std::move(peer->second.rows), std::move(peer->second.link)});
  peers_.erase(peer);
}

// A link that may still write to its rows keeps them; the others go on meanwhile, with buffers of their own.
void RemoteEncoders::part_with_departed() {
  for (auto departed = departed_.begin(); departed != departed_.end();) {
    if (departed->link->poll() != LinkState::failed) {
      ++departed;
    } else {
      buffers_.give_back(std::move(departed->rows));
      departed = departed_.erase(departed);
    }
  }
}

void RemoteEncoders::encoded(EncoderId encoder, const Encoded& what, TimePoint now) {
  const std::optional<SliceJob> job = pool_.encoded(encoder, what.job, now);
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
  peers_.at(encoder).waiting.push_back({what.job, job->slice->fingerprint, job->rows});
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
  if (peer.current) {
    switch (peer.link->poll()) {
      case LinkState::done:
        finish_transfer(encoder, peer, now);
        break;
      case LinkState::failed:
        server_.close(encoder, message("its link failed: ", peer.link->failure()));
        return;
      default:
        return;
    }
  }
  while (!peer.waiting.empty() && !peer.current) {
    const Transfer next = peer.waiting.front();
    peer.waiting.pop_front();
    if (!pool_.encoded(encoder, next.job, now)) continue;  // overdue meanwhile: tried elsewhere
    peer.rows = buffers_.take(next.rows);
    peer.link->begin(next.job, peer.rows.rows);
    server_.send(encoder, Go{next.job});
    peer.current = next;
  }
}

void RemoteEncoders::finish_transfer(EncoderId encoder, Peer& peer, TimePoint now) {
  const Transfer done = *peer.current;
  peer.current.reset();
  server_.send(encoder, Done{done.job});
  StagedRows rows = std::exchange(peer.rows, {});
  const bool wanted = pool_.encoded(encoder, done.job, now).has_value();
  if (!wanted) {
    buffers_.give_back(std::move(rows));
  } else if (!all_finite(buffers_.backend(), rows.rows)) {
    buffers_.give_back(std::move(rows));
    pool_.failed(encoder, done.job, "the encoder's result is not a number", now);
  } else {
    arrived_[done.fingerprint] = std::move(rows);
    pool_.received(encoder, done.job, now);
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

void RemoteEncoders::collect() {
  for (EncoderPool::Outcome& outcome : pool_.take_outcomes()) {
    EncodedSlice slice{outcome.fingerprint, outcome.ok, outcome.no_encoder,
                       outcome.reason,      {},         outcome.first_sent};
    if (outcome.ok) slice.rows = std::move(arrived_.extract(outcome.fingerprint).mapped());
    ended_.push_back(std::move(slice));
  }
  metrics_.slices_retried(static_cast<double>(pool_.retries() - retries_seen_));
  retries_seen_ = pool_.retries();
}

}  // namespace uhd
