#include "engine/leader/request_table.h"

namespace uhd {

namespace {

Failure lost_ranks() {
  return {FailureKind::internal, "engine_failed", "the model's ranks were lost; the answer is incomplete"};
}

}  // namespace

RequestTable::RequestTable(LeaderState& state, Mailbox& mailbox, Metrics& metrics,
                           std::function<void(const LiveRequest&)> release, std::function<void()> on_lost)
    : state_(state),
      mailbox_(mailbox),
      metrics_(metrics),
      release_(std::move(release)),
      on_lost_(std::move(on_lost)) {}

LiveRequest& RequestTable::add(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->id();
  timelines_ += request->timeline() != nullptr ? 1 : 0;
  return *(live_[id] = std::move(request));
}

LiveRequest* RequestTable::find(RequestId id) const {
  const auto found = live_.find(id);
  return found == live_.end() ? nullptr : found->second.get();
}

RequestTable::Place RequestTable::find_sequence(SequenceId id) const {
  auto after = live_.upper_bound(id);
  if (after == live_.begin()) return {};
  LiveRequest& request = *std::prev(after)->second;
  const SequenceId answer = id - request.id();
  if (answer >= static_cast<SequenceId>(request.answers())) return {};
  return {&request, static_cast<int>(answer)};
}

// A client hears no more than this of a fault inside.
Failure RequestTable::internal_error() {
  return {FailureKind::internal, "internal_error", "the request failed inside the server"};
}

void RequestTable::end(RequestId id, FinishReason reason, const std::optional<Failure>& failure) {
  LiveRequest* request = find(id);
  if (request == nullptr) return;
  request->end(reason, failure, Clock::now());
  retire(id);
}

void RequestTable::end_all(FinishReason reason) {
  while (!live_.empty()) end(live_.begin()->first, reason, std::nullopt);
}

void RequestTable::retire(RequestId id) {
  const auto found = live_.find(id);
  const std::unique_ptr<LiveRequest> request = std::move(found->second);
  live_.erase(found);
  timelines_ -= request->timeline() != nullptr ? 1 : 0;
  const Usage usage = request->usage(Clock::now());
  const FinishReason finish = request->finish();
  metrics_.finished(finish, usage, request->failure_code());
  log_debug("request ended", "id", id, "trace", request->trace_id(), "finish", name_of(finish), "failure",
            request->failure_code(), "prompt", usage.prompt_tokens, "tokens", usage.completion_tokens, "ttft",
            usage.times.ttft, "total", usage.times.total);
  release_(*request);
  state_.places -= request->answers();
}

void RequestTable::fail(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (state_.failed.exchange(true)) return;
  log_error("the engine stops", "reason", reason);
  const auto lose = [&](LiveRequest& request) {
    request.end(FinishReason::error, lost_ranks(), Clock::now());
    state_.places -= request.answers();
  };
  mailbox_.close();
  for (Mail& mail : mailbox_.take()) {
    if (auto* request = std::get_if<std::unique_ptr<LiveRequest>>(&mail)) lose(**request);
  }
  // The step under way may still look at its sequences: they stay, only their listeners are gone.
  for (const auto& [id, request] : live_) {
    lose(*request);
    metrics_.finished(FinishReason::error, request->usage(Clock::now()), request->failure_code());
  }
  if (on_lost_) on_lost_();
}

}  // namespace uhd
